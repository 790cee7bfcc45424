"""A page of checked images, all of them blurred beyond recognition.

The blurred image itself is in the page, not the sharp one behind a style: no click shows what a
detector flagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from safelatent.reports.templating import data_uri, environment


@dataclass(frozen=True, kw_only=True)
class Preview:
    """One file.

    Attributes:
        name: of the file.
        picture: blurred; None if the file could not be read.
        label: the verdict.
        words: what the detectors saw.
    """

    name: str
    picture: Image.Image | None
    label: str
    words: str


def preview_page(title: str, previews: Sequence[Preview]) -> str:
    """Return a self-contained page of HTML."""
    items = [
        (preview, preview.picture and data_uri(preview.picture, "PNG")) for preview in previews
    ]
    return environment().get_template("preview.html.jinja").render(title=title, items=items)
