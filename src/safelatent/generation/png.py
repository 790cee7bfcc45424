"""An image and what made it as the bytes of one PNG file. Knows pictures; does not know disks."""

from __future__ import annotations

import io
import json
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo


def encode_png(image: Image.Image, metadata: Any) -> bytes:
    """The image as PNG, with ``metadata`` as JSON under the key ``safelatent``."""
    info = PngInfo()
    info.add_itxt("safelatent", json.dumps(metadata, ensure_ascii=False))
    encoded = io.BytesIO()
    image.save(encoded, "PNG", pnginfo=info)
    return encoded.getvalue()
