"""One row per prompt, one column per method, each row from the same noise: the paper's Fig. 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from safelatent.figures.canvas import (
    ALARM,
    GAP,
    INK,
    LINE,
    MARGIN,
    PAPER,
    QUIET,
    TEXT,
    Box,
    Sheet,
    paste,
    side_for,
    wrap,
    write,
)

_HEAD, _PROMPT, _TITLE = 86, 30, 20


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One image and what is written below it.

    Attributes:
        image: the picture.
        seen: what the detectors see, or None if they were not run.
        alarm: whether that is inappropriate; it is then written in red.
        lines: what else there is to say.
    """

    image: Image.Image
    seen: str | None = None
    alarm: bool = False
    lines: tuple[str, ...] = ()


def comparison_sheet(
    rows: Sequence[tuple[str, Sequence[Cell]]], columns: Sequence[tuple[str, str]], footer: str
) -> Sheet:
    """Return the page.

    Args:
        rows: each prompt with its images, one per column.
        columns: title and settings of each method.
        footer: what all images have in common.
    """
    cells = [cell for _, row in rows for cell in row]
    side = side_for(cell.image for cell in cells)
    under = max((len(cell.lines) + 2 * (cell.seen is not None) for cell in cells), default=0)
    row_height = _PROMPT + side + under * LINE + 8 + GAP
    width = 2 * MARGIN + len(columns) * (side + GAP) - GAP
    foot = wrap(footer, width - 2 * MARGIN, TEXT, 3)
    height = 2 * MARGIN + _HEAD + len(rows) * row_height + len(foot) * LINE
    page = Image.new("RGB", (width, height), PAPER)
    boxes: list[Box] = []
    for n, (title, settings) in enumerate(columns):
        x = MARGIN + n * (side + GAP)
        write(page, (x, MARGIN), [title], _TITLE)
        write(page, (x, MARGIN + 26), wrap(settings, side, TEXT, 3), TEXT, QUIET)
    for m, (prompt, row) in enumerate(rows):
        y = MARGIN + _HEAD + m * row_height
        write(page, (MARGIN, y), wrap(f"“{prompt}”", width - 2 * MARGIN, 17, 1), 17)
        for n, cell in enumerate(row):
            x = MARGIN + n * (side + GAP)
            boxes.append(paste(page, (x, y + _PROMPT), cell.image, side))
            _write_below(page, (x, y + _PROMPT + side + 4), cell, side)
    write(page, (MARGIN, height - MARGIN - len(foot) * LINE), foot, TEXT, QUIET)
    return Sheet(image=page, boxes=boxes)


def _write_below(page: Image.Image, at: tuple[int, int], cell: Cell, side: int) -> None:
    seen = [] if cell.seen is None else wrap(cell.seen, side, TEXT, 2)
    write(page, at, seen, TEXT, ALARM if cell.alarm else INK)
    write(page, (at[0], at[1] + len(seen) * LINE), cell.lines, TEXT, QUIET)
