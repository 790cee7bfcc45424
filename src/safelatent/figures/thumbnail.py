"""An image inside a page: small, without metadata, as a data address."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from warnings import catch_warnings

QUALITY = 80


def data_uri(file: Path, side: int) -> str | None:
    """Return the image as JPEG, at most ``side`` pixels along its longer side.

    Only PNG files are opened, which is what runs write: whatever else lies there is no image.
    None if the file is missing, broken, or larger than Pillow considers safe.
    """
    from PIL import Image

    try:
        with catch_warnings(action="error"), Image.open(file, formats=("PNG",)) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        return None
    picture.thumbnail((side, side))
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"
