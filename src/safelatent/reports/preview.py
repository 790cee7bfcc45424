"""A page of checked pictures, all of them blurred beyond recognition. Knows small pictures and
words; does not know detectors.

The blurred picture itself is in the page, not the sharp one behind a style: no click shows what a
detector flagged.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.4 system-ui, sans-serif; }
body { margin: 1rem auto; max-width: 70rem; padding: 0 1rem; }
ul { list-style: none; padding: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 1rem; }
img { width: 100%; aspect-ratio: 1; object-fit: contain; background: #8883; border-radius: .4rem; }
.none { display: grid; place-items: center; aspect-ratio: 1; background: #8883; border-radius: .4rem; }
p { margin: .2rem 0; overflow-wrap: anywhere; }
.label { font-weight: 600; }
"""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """One file: its name, a blurred picture (None where it could not be read), the label, and what
    the detectors said.
    """

    name: str
    picture: Image.Image | None
    label: str
    words: str


def preview_page(title: str, previews: Sequence[Preview]) -> str:
    """Self-contained HTML."""
    items = "\n".join(_item(preview) for preview in previews)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = f"<h1>{escape(title)}</h1>\n<p>Every picture is blurred; open the file itself to see it.</p>\n<ul>\n{items}\n</ul>"
    return f'<!doctype html>\n<html lang="en">\n<head>{head}<style>{_STYLE}</style></head>\n<body>\n{body}\n</body>\n</html>\n'


def _item(preview: Preview) -> str:
    shown = (
        '<div class="none">no picture</div>'
        if preview.picture is None
        else f'<img alt="blurred" src="{_data(preview.picture)}">'
    )
    words = f'<p class="label">{escape(preview.label)}</p><p>{escape(preview.name)}</p><p>{escape(preview.words)}</p>'
    return f"<li>{shown}{words}</li>"


def _data(picture: Image.Image) -> str:
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return f"data:image/png;base64,{base64.b64encode(encoded.getvalue()).decode()}"
