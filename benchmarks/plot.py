"""Axes for the pages' pictures, and what is drawn on them as SVG: the same bytes for the same
numbers.
"""

from __future__ import annotations

import io
from contextlib import AbstractContextManager

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def axes(width: float, height: float, x: str, y: str) -> Axes:
    """Return empty axes.

    Args:
        width, height: of the picture, in inches.
        x, y: what the axes show, with units.
    """
    with _style():
        found = Figure(figsize=(width, height), layout="constrained").subplots()
    found.set(xlabel=x, ylabel=y)
    return found


def svg(drawn: Axes) -> bytes:
    """Return the picture as an SVG file."""
    figure, file = drawn.get_figure(root=True), io.BytesIO()
    if figure is None:
        raise ValueError("these axes belong to no figure; make them with axes()")
    with _style():
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _style() -> AbstractContextManager[None]:
    """No part of a picture may depend on the day or on chance; letters stay letters."""
    return mpl.rc_context(
        {
            "svg.hashsalt": "safelatent",
            "svg.fonttype": "none",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
