"""Images onto the disk, whole or not at all, with what made them inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from safelatent.generation.png import encode_png
from safelatent.generation.sampling import Made
from safelatent.storage import write_whole


def save_image(made: Made, folder: Path) -> Path:
    """Write the image as PNG to ``folder`` under the request's own name; returns the file."""
    return save_picture(made.image, folder / f"{made.request.name}.png", made.as_dict())


def save_picture(image: Image.Image, file: Path, metadata: Any) -> Path:
    """Write a PNG with ``metadata`` (JSON, under the key ``safelatent``): encoded in memory,
    written aside, synced, renamed.

    Raises:
        OSError: the folder cannot be made or written; nothing half-written stays.
    """
    return write_whole(file, encode_png(image, metadata))
