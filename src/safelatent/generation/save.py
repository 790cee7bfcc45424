"""Images onto the disk, whole or not at all, with what made them inside."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from safelatent.storage import write_whole

if TYPE_CHECKING:
    from safelatent.generation.sampling import Made


def encode_png(image: Image.Image, metadata: Any) -> bytes:
    """Return the image as PNG, with ``metadata`` as JSON under the key ``safelatent``."""
    info = PngInfo()
    info.add_itxt("safelatent", json.dumps(metadata, ensure_ascii=False))
    encoded = io.BytesIO()
    image.save(encoded, "PNG", pnginfo=info)
    return encoded.getvalue()


def save_image(made: Made, folder: Path) -> Path:
    """Write the image as PNG to ``folder``, named for its request; return the file."""
    return save_picture(made.image, folder / f"{made.request.name}.png", made.as_dict())


def save_picture(image: Image.Image, file: Path, metadata: Any) -> Path:
    """Write a PNG with ``metadata`` (JSON, under the key ``safelatent``): encoded in memory,
    written aside, synced, renamed.

    Raises:
        OSError: the folder cannot be made or written; nothing half-written stays.
    """
    return write_whole(file, encode_png(image, metadata))
