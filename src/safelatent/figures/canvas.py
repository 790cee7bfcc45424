"""Text and tiles on a page, measured in pixels."""

from __future__ import annotations

from functools import cache

from PIL import Image, ImageDraw, ImageFont

INK, QUIET, PAPER = (25, 25, 30), (105, 105, 115), (255, 255, 255)
MARGIN = 16


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own face, so that the picture is the same on every machine."""
    return ImageFont.load_default(size)


def width(text: str, size: int) -> float:
    """Of a line of text."""
    return font(size).getlength(text)


def wrap(text: str, limit: float, size: int, lines: int) -> list[str]:
    """``text`` in at most ``lines`` lines no wider than ``limit``; what does not fit ends in an
    ellipsis.
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
    rows: list[str],
    size: int,
    ink: tuple[int, int, int] = INK,
) -> None:
    """Lines of text below one another, their upper left corner ``at``."""
    draw = ImageDraw.Draw(page)
    for n, row in enumerate(rows):
        draw.text((at[0], at[1] + n * (size + 4)), row, font=font(size), fill=ink)


def tile(image: Image.Image, side: int) -> Image.Image:
    """``image`` scaled to fit a square, smooth, centred on grey."""
    scale = side / max(image.size)
    fitted = image.convert("RGB").resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))),
        Image.Resampling.BICUBIC,
    )
    square = Image.new("RGB", (side, side), (235, 235, 238))
    square.paste(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    return square


def frame(page: Image.Image, at: tuple[int, int], side: int) -> None:
    """A thin line around a square, so that a white one is seen."""
    ImageDraw.Draw(page).rectangle(
        (at[0], at[1], at[0] + side - 1, at[1] + side - 1), outline=(215, 215, 220)
    )
