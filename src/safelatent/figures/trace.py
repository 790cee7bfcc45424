"""One image on its way, unguarded and guarded from the same noise, and where gamma acted: the
paper's Fig. 3.

A row of estimates of the unguarded image, a row of the guarded one, and a row of maps of
``|gamma|``. Its size changes by orders of magnitude between the steps, so each map has its own
scale: white is 0 and dark red that step's largest value, which is written below the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from safelatent.figures.canvas import (
    GAP,
    LINE,
    MARGIN,
    PAPER,
    QUIET,
    TEXT,
    Box,
    Sheet,
    frame,
    paste,
    side_for,
    wrap,
    write,
)

_TITLE, _LABEL = 18, 22
_LEGEND = (160, 12)  # pixels of the bar of colours


@dataclass(frozen=True, kw_only=True)
class TraceStep:
    """One step of both calls.

    Attributes:
        title: which step.
        unguarded, guarded: what the image would become if sampling ended here.
        gamma: (h, w), ``|gamma|`` by place.
        line: what is written below the map.
    """

    title: str
    unguarded: Image.Image
    guarded: Image.Image
    gamma: np.ndarray
    line: str


def heat(values: np.ndarray) -> Image.Image:
    """Return (h, w) values as colours: 0 white, then orange and red, the largest dark red."""
    stops = np.array([[255, 255, 255], [253, 190, 110], [225, 70, 40], [110, 0, 25]], dtype=float)
    top = float(values.max())
    level = np.clip(values / top if top > 0 else np.zeros_like(values), 0, 1) * (len(stops) - 1)
    low = np.minimum(level.astype(int), len(stops) - 2)
    part = (level - low)[..., None]
    colours = (1 - part) * stops[low] + part * stops[low + 1]
    return Image.fromarray(colours.round().astype(np.uint8))


def trace_sheet(
    title: str, labels: tuple[str, str], steps: Sequence[TraceStep], footer: str
) -> Sheet:
    """Return the page, with the boxes of the unguarded row, then those of the guarded one.

    Args:
        title: the prompt.
        labels: of the unguarded row and of the guarded one.
        steps: from left to right.
        footer: the settings of both calls.
    """
    side = side_for(step.guarded for step in steps)
    width = 2 * MARGIN + len(steps) * (side + GAP) - GAP
    foot = wrap(footer, width - 2 * MARGIN, TEXT, 3)
    rows = [MARGIN + 34 + LINE + n * (_LABEL + side + GAP) for n in range(3)]
    legend = rows[2] + _LABEL + side + LINE + 12
    page = Image.new("RGB", (width, legend + LINE + 8 + len(foot) * LINE + MARGIN), PAPER)
    write(page, (MARGIN, MARGIN), wrap(title, width - 2 * MARGIN, _TITLE, 1), _TITLE)
    for y, label in zip(rows, (*labels, "where the guard acted: |gamma|"), strict=True):
        write(page, (MARGIN, y + 2), wrap(label, width - 2 * MARGIN, TEXT, 1), TEXT, QUIET)
    boxes: list[list[Box]] = [[], []]
    for n, step in enumerate(steps):
        x = MARGIN + n * (side + GAP)
        write(page, (x, MARGIN + 34), [step.title])
        for row, image in enumerate((step.unguarded, step.guarded)):
            boxes[row].append(paste(page, (x, rows[row] + _LABEL), image, side))
        colours = heat(step.gamma)
        colours = colours.resize((side, side), Image.Resampling.NEAREST)
        page.paste(colours, (x, rows[2] + _LABEL))
        frame(page, (x, rows[2] + _LABEL, x + side, rows[2] + _LABEL + side))
        write(page, (x, rows[2] + _LABEL + side + 3), wrap(step.line, side, TEXT, 1), TEXT, QUIET)
    _write_legend(page, legend)
    write(page, (MARGIN, legend + LINE + 8), foot, TEXT, QUIET)
    return Sheet(image=page, boxes=[*boxes[0], *boxes[1]])


def _write_legend(page: Image.Image, y: int) -> None:
    wide, high = _LEGEND
    bar = heat(np.broadcast_to(np.linspace(0, 1, wide), (high, wide)))
    write(page, (MARGIN, y - 2), ["0"], TEXT, QUIET)
    page.paste(bar, (MARGIN + 14, y))
    frame(page, (MARGIN + 14, y, MARGIN + 14 + wide, y + high))
    words = ["the largest |gamma| of the step, written below its map"]
    write(page, (MARGIN + 14 + wide + 6, y - 2), words, TEXT, QUIET)
