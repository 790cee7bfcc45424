"""One guarded image on its way: the estimate of the image at some moments and, below each, where
gamma acted: the paper's Fig. 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from safelatent.figures.canvas import MARGIN, PAPER, QUIET, frame, tile, wrap, write

SIDE, GAP, TEXT = 150, 10, 13


@dataclass(frozen=True, kw_only=True)
class TraceStep:
    """The image's estimate, ``|gamma|`` by place (h, w), and the lines between them."""

    image: Image.Image
    gamma: np.ndarray
    lines: tuple[str, ...]


def heat(values: np.ndarray, top: float) -> Image.Image:
    """(h, w) values from 0 (white) over orange to ``top`` (dark red)."""
    stops = np.array([[255, 255, 255], [253, 190, 110], [225, 70, 40], [110, 0, 25]], dtype=float)
    level = np.clip(values / top if top > 0 else np.zeros_like(values), 0, 1) * (len(stops) - 1)
    low = np.minimum(level.astype(int), len(stops) - 2)
    part = (level - low)[..., None]
    return Image.fromarray(
        ((1 - part) * stops[low] + part * stops[low + 1]).round().astype(np.uint8)
    )


def trace_sheet(title: str, moments: Sequence[TraceStep], footer: str) -> Image.Image:
    """The page: moments from left to right, one scale of colours for all of them."""
    lines = max(len(m.lines) for m in moments) * (TEXT + 4)
    width = 2 * MARGIN + len(moments) * (SIDE + GAP) - GAP
    foot = wrap(footer, width - 2 * MARGIN, TEXT, 3)
    top = max(float(m.gamma.max()) for m in moments)
    y_image, y_heat = MARGIN + 32, MARGIN + 32 + SIDE + 8 + lines
    height = y_heat + SIDE + 12 + len(foot) * (TEXT + 4) + MARGIN
    page = Image.new("RGB", (width, height), PAPER)
    write(page, (MARGIN, MARGIN), wrap(title, width - 2 * MARGIN, 18, 1), 18)
    for n, moment in enumerate(moments):
        x = MARGIN + n * (SIDE + GAP)
        page.paste(tile(moment.image, SIDE), (x, y_image))
        write(page, (x, y_image + SIDE + 4), list(moment.lines), TEXT, QUIET)
        page.paste(
            heat(moment.gamma, top).resize((SIDE, SIDE), Image.Resampling.NEAREST), (x, y_heat)
        )
        frame(page, (x, y_heat), SIDE)
    write(page, (MARGIN, y_heat + SIDE + 8), foot, TEXT, QUIET)
    return page
