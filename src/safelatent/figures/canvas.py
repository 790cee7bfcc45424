"""Text and tiles on a page, measured in pixels; and the page with the places of its pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

Box = tuple[int, int, int, int]  # left, upper, right, lower
Colour = tuple[int, int, int]

INK, QUIET, ALARM, PAPER = (25, 25, 30), (105, 105, 115), (175, 25, 25), (255, 255, 255)
BEHIND = (235, 235, 238)  # a tile where its picture does not reach
MARGIN, GAP, LINE = 16, 10, 17  # LINE: height of a line of TEXT
TEXT = 13
SMALLEST, LARGEST = 192, 512  # pixels of a tile's side


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A page, and where its pictures are.

    Attributes:
        image: the page.
        boxes: of every picture, row by row, as PIL's ``crop`` takes them.
    """

    image: Image.Image
    boxes: list[Box]


def side_for(images: Iterable[Image.Image]) -> int:
    """Return the side of a tile in which these images lose as little as possible."""
    largest = max((max(image.size) for image in images), default=SMALLEST)
    return min(max(largest, SMALLEST), LARGEST)


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own face, so that the page is the same on every machine."""
    return ImageFont.load_default(size)


def width(text: str, size: int) -> float:
    """Return the width of a line of text, in pixels."""
    return font(size).getlength(text)


def wrap(text: str, limit: float, size: int, lines: int) -> list[str]:
    """Return ``text`` in at most ``lines`` lines no wider than ``limit``; what does not fit ends in
    an ellipsis.
    """
    rows: list[str] = []
    for word in text.split():
        joined = f"{rows[-1]} {word}" if rows else word
        if rows and width(joined, size) <= limit:
            rows[-1] = joined
        else:
            rows.append(word)
    cut = len(rows) > lines
    rows = [_shorten(row, limit, size) for row in rows[:lines]]
    if cut:
        rows[-1] = _shorten(f"{rows[-1]} …", limit, size, always=True)
    return rows


def _shorten(row: str, limit: float, size: int, *, always: bool = False) -> str:
    if width(row, size) <= limit and not always:
        return row
    row = row.removesuffix("…").rstrip()
    while row and width(f"{row}…", size) > limit:
        row = row[:-1]
    return f"{row}…"


def write(
    page: Image.Image,
    at: tuple[float, float],
    rows: Iterable[str],
    size: int = TEXT,
    ink: Colour = INK,
) -> None:
    """Write lines of text below one another, their upper left corner ``at``."""
    draw = ImageDraw.Draw(page)
    for n, row in enumerate(rows):
        draw.text((at[0], at[1] + n * (size + 4)), row, font=font(size), fill=ink)


def paste(page: Image.Image, at: tuple[int, int], image: Image.Image, side: int) -> Box:
    """Paste ``image``, scaled smoothly to fit a grey square of ``side``; return its own box."""
    scale = side / max(image.size)
    fitted = image.convert("RGB").resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))),
        Image.Resampling.BICUBIC,
    )
    page.paste(BEHIND, (*at, at[0] + side, at[1] + side))
    left = at[0] + (side - fitted.width) // 2
    upper = at[1] + (side - fitted.height) // 2
    page.paste(fitted, (left, upper))
    frame(page, (*at, at[0] + side, at[1] + side))
    return left, upper, left + fitted.width, upper + fitted.height


def frame(page: Image.Image, box: Box) -> None:
    """Draw a thin line around a box, outside it, so that a white one is seen."""
    left, upper, right, lower = box
    ImageDraw.Draw(page).rectangle((left - 1, upper - 1, right, lower), outline=(225, 225, 230))
