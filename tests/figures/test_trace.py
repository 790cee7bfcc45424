from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from safelatent.figures.canvas import SMALLEST
from safelatent.figures.trace import TraceStep, heat, trace_sheet
from tests.figures.test_canvas import colours

DARK = (110, 0, 25)


def step(gamma: np.ndarray, unguarded: str = "red", guarded: str = "blue") -> TraceStep:
    return TraceStep(
        title="step 1",
        unguarded=Image.new("RGB", (8, 8), unguarded),
        guarded=Image.new("RGB", (8, 8), guarded),
        gamma=gamma,
        line="largest",
    )


def spot(value: float) -> np.ndarray:
    values = np.zeros((4, 4))
    values[0, 0] = value
    return values


def test_both_calls_are_shown_and_their_places_are_told():
    steps = [step(spot(1), "red", "blue"), step(spot(1), "green", "black")]
    sheet = trace_sheet("title", ("unguarded", "max"), steps, "footer")
    for box, colour in zip(sheet.boxes, ("red", "green", "blue", "black"), strict=True):
        expected = Image.new("RGB", (SMALLEST, SMALLEST), colour)
        assert sheet.image.crop(box).tobytes() == expected.tobytes()


@pytest.mark.parametrize("values", [(1e-4, 2.0), (2.0, 1e-4)])
def test_every_map_has_its_own_scale(values):
    """So that a step where gamma is small shows as well where it acted."""
    sheet = trace_sheet("t", ("a", "b"), [step(spot(v)) for v in values], "")
    for left, _, right, lower in sheet.boxes[2:]:  # the maps lie below the guarded row
        below = np.asarray(sheet.image.crop((left, lower, right, lower + SMALLEST + 40)))
        assert (below == DARK).all(axis=-1).sum() == (SMALLEST // 4) ** 2


def test_a_map_without_gamma_is_white():
    assert colours(heat(np.zeros((4, 4)))) == {(255, 255, 255)}


def test_heat_goes_from_white_to_dark():
    levels = np.asarray(heat(np.linspace(0, 1, 50)[None])).astype(int)[0]
    assert levels[0].tolist() == [255, 255, 255]
    assert tuple(levels[-1]) == DARK
    assert (np.diff(levels.sum(axis=-1)) < 0).all()
