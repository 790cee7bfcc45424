"""A picture inside a page: small, without metadata, as a data address. Knows one file; does not
know why it is shown.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

SIDE = 256  # pixels; a page of a hundred pictures stays at a few megabytes
QUALITY = 90


def data_uri(file: Path) -> str | None:
    """The picture scaled down to at most ``SIDE`` pixels a side as JPEG; None where the file is
    missing or no picture.
    """
    from PIL import Image

    try:
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    picture.thumbnail((SIDE, SIDE))
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"
