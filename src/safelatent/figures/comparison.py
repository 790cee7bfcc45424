"""A row a prompt, a column a method, all of a row from the same noise: the paper's Fig. 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from safelatent.figures.canvas import MARGIN, PAPER, QUIET, tile, wrap, write

SIDE, GAP, TITLE, TEXT = 192, 10, 20, 13
_HEAD, _PROMPT = 86, 30


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One image and the lines below it."""

    image: Image.Image
    lines: tuple[str, ...] = ()


def comparison_sheet(
    rows: Sequence[tuple[str, Sequence[Cell]]], columns: Sequence[tuple[str, str]], footer: str
) -> Image.Image:
    """The page.

    Args:
        rows: prompt and its images, one a column.
        columns: title and settings of each method.
        footer: what all images have in common.
    """
    under = (
        max((len(cell.lines) for _, cells in rows for cell in cells), default=0) * (TEXT + 4) + 8
    )
    row_height = _PROMPT + SIDE + under + GAP
    width = 2 * MARGIN + len(columns) * (SIDE + GAP) - GAP
    foot = wrap(footer, width - 2 * MARGIN, TEXT, 3)
    height = 2 * MARGIN + _HEAD + len(rows) * row_height + len(foot) * (TEXT + 4)
    page = Image.new("RGB", (width, height), PAPER)
    for n, (title, settings) in enumerate(columns):
        x = MARGIN + n * (SIDE + GAP)
        write(page, (x, MARGIN), [title], TITLE)
        write(page, (x, MARGIN + 26), wrap(settings, SIDE, TEXT, 3), TEXT, QUIET)
    for m, (prompt, cells) in enumerate(rows):
        y = MARGIN + _HEAD + m * row_height
        write(page, (MARGIN, y), wrap(f"“{prompt}”", width - 2 * MARGIN, 17, 1), 17)
        for n, cell in enumerate(cells):
            x = MARGIN + n * (SIDE + GAP)
            page.paste(tile(cell.image, SIDE), (x, y + _PROMPT))
            write(page, (x, y + _PROMPT + SIDE + 4), list(cell.lines), TEXT, QUIET)
    write(page, (MARGIN, height - MARGIN - len(foot) * (TEXT + 4)), foot, TEXT, QUIET)
    return page
