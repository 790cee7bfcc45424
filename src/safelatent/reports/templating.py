"""How every page is made from its template: all texts escaped; style, script and images inside."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING
from warnings import catch_warnings

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from safelatent.text import visible

if TYPE_CHECKING:
    from PIL.Image import Image

TEMPLATES = Path(__file__).with_name("templates")
QUALITY = 80  # of thumbnails, as JPEG


def environment(*folders: Path) -> Environment:
    """Return the templates of ``folders`` and of this package: every text is escaped, and what it
    hides is shown.
    """
    return Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def assets(*scripts: str) -> dict[str, str]:
    """Return the reports' style, and the named scripts with their hash, for a template."""
    script = source(*scripts)
    style = source("base.css", "page.css")
    return {"style": style, "script": script, "script_hash": script_hash(script)}


def source(*names: str, folder: Path = TEMPLATES) -> Markup:
    """Return style sheets or scripts of ours, one after the other, to be put into a page as they
    are.
    """
    return Markup("".join((folder / name).read_text(encoding="utf-8") for name in names))  # noqa: S704  # our files


def script_hash(script: str) -> str:
    """Return what a page's policy names its script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def thumbnail(file: Path, side: int) -> str | None:
    """Return an image as a data address: JPEG, at most ``side`` pixels along its longer side,
    without metadata.

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
    return data_uri(picture, "JPEG", quality=QUALITY)


def data_uri(picture: Image, form: str, **settings: int) -> str:
    """Return a picture as a data address, encoded in Pillow's format ``form``."""
    encoded = io.BytesIO()
    picture.save(encoded, form, **settings)
    return f"data:image/{form.lower()};base64,{base64.b64encode(encoded.getvalue()).decode()}"
