from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from safelatent.figures.canvas import LARGEST, SMALLEST, frame, paste, side_for, width, wrap


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return set(map(tuple, np.asarray(image).reshape(-1, 3).tolist()))


@given(st.text(max_size=200), st.integers(40, 400), st.integers(1, 3))
def test_wrapped_text_fits(text, limit, lines):
    rows = wrap(text, limit, 13, lines)
    assert len(rows) <= lines
    assert all(width(row, 13) <= limit or row == "…" for row in rows)


@pytest.mark.parametrize(
    ("size", "box"), [((64, 64), (5, 7, 65, 67)), ((100, 50), (5, 22, 65, 52)), ((1, 300), None)]
)
def test_a_picture_is_pasted_whole_and_its_box_is_its_own(size, box):
    page = Image.new("RGB", (90, 90), "white")
    found = paste(page, (5, 7), Image.new("RGB", size, "red"), 60)
    assert found == (box or found)
    assert colours(page.crop(found)) == {(255, 0, 0)}
    reds = (np.asarray(page) == (255, 0, 0)).all(axis=-1).sum()
    assert reds == (found[2] - found[0]) * (found[3] - found[1])


def test_a_frame_lies_outside_its_box():
    page = Image.new("RGB", (20, 20), "white")
    frame(page, (5, 5, 15, 15))
    assert colours(page.crop((5, 5, 15, 15))) == {(255, 255, 255)}
    assert page.getpixel((4, 4)) != (255, 255, 255)


def test_a_tile_is_as_large_as_its_pictures_within_limits():
    sides = [side_for([Image.new("RGB", (n, 10))]) for n in (8, SMALLEST, 300, LARGEST, 2000)]
    assert sides == [SMALLEST, SMALLEST, 300, LARGEST, LARGEST]
    assert side_for([]) == SMALLEST
