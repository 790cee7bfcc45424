from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from safelatent.figures.canvas import tile, width, wrap
from safelatent.figures.comparison import GAP, SIDE, Cell, comparison_sheet
from safelatent.figures.trace import TraceStep, heat, trace_sheet

COLOURS = ["red", "green", "blue"]


def test_a_comparison_has_a_row_a_prompt_and_a_column_a_method():
    rows = [
        (
            f"prompt {m}",
            [Cell(image=Image.new("RGB", (8, 8), colour), lines=("x",)) for colour in COLOURS],
        )
        for m in range(2)
    ]
    page = comparison_sheet(
        rows, [("off", "plain"), ("weak", "warm-up 15"), ("max", "warm-up 0")], "footer"
    )
    pixels = np.asarray(page)
    areas = [
        int((pixels == np.array(Image.new("RGB", (1, 1), colour))[0, 0]).all(axis=-1).sum())
        for colour in COLOURS
    ]
    assert areas == [2 * SIDE * SIDE] * 3
    columns = [
        np.flatnonzero(
            (pixels == np.array(Image.new("RGB", (1, 1), c))[0, 0]).all(axis=-1).any(axis=0)
        )[0]
        for c in COLOURS
    ]
    assert np.diff(columns).tolist() == [SIDE + GAP] * 2


def test_a_trace_shows_where_gamma_acted():
    quiet, loud = np.zeros((4, 4)), np.zeros((4, 4))
    loud[0, 0] = 2.0
    moments = [
        TraceStep(image=Image.new("RGB", (8, 8)), gamma=g, lines=("step",)) for g in (quiet, loud)
    ]
    dark = (
        (np.asarray(trace_sheet("title", moments, "footer")) == heat(loud, 2.0).getpixel((0, 0)))
        .all(axis=-1)
        .sum()
    )
    assert dark > 0
    assert heat(quiet, 0.0).getpixel((0, 0)) == (255, 255, 255)


def test_heat_goes_from_white_to_dark():
    levels = np.asarray(heat(np.linspace(0, 1, 50)[None], 1.0)).astype(int).sum(axis=-1)[0]
    assert levels[0] == 3 * 255
    assert (np.diff(levels) < 0).all()


@given(st.text(max_size=200), st.integers(40, 400), st.integers(1, 3))
def test_wrapped_text_fits(text, limit, lines):
    rows = wrap(text, limit, 13, lines)
    assert len(rows) <= lines
    assert all(width(row, 13) <= limit or row == "…" for row in rows)


@pytest.mark.parametrize("size", [(64, 64), (100, 50), (1, 300)])
def test_a_tile_is_square(size):
    assert tile(Image.new("RGB", size), 50).size == (50, 50)
