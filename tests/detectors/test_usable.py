from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from safelatent import BadValueError
from safelatent.detectors.usable import TOLERANCE, usable
from tests.detectors.tiny_detectors import noise


def test_a_picture_is_itself():
    image = noise(20)
    assert usable(image) is image


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_rounded_to_8_bits(dtype):
    levels = np.arange(256).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(np.asarray(usable((levels / 255).astype(dtype))), levels)


def test_bytes_stay_as_they_are():
    array = np.asarray(noise(9))
    assert np.array_equal(np.asarray(usable(array[:, ::-1])), array[:, ::-1])


def with_value(value: float) -> np.ndarray:
    array = np.linspace(0, 1, 48).reshape(4, 4, 3)
    array[2, 1, 0] = value
    return array


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("RGB", (8, 8)), "it is black"),
        (np.zeros((8, 8, 3)), "it is black"),
        (Image.new("RGB", (8, 8), (250, 0, 0)), r"of one colour, \(250, 0, 0\)"),
        (np.ones((8, 8, 3)), r"of one colour, \(255, 255, 255\)"),
        (noise(1).resize((1, 1)), "of one colour"),
        (with_value(np.nan), "NaN or infinite"),
        (with_value(-np.inf), "NaN or infinite"),
        (with_value(1.01), "from 0 to 1.01"),
        (with_value(-0.5), "from -0.5 to 1"),
        (np.zeros((0, 8, 3)), r"\(0, 8, 3\)"),
        (np.zeros((8, 8)), r"\(8, 8\)"),
        (np.zeros((3, 8, 8)), r"\(3, 8, 8\)"),
        (np.zeros((8, 8, 3), dtype=np.int64), "int64"),
        (np.zeros((8, 8, 3), dtype=object), "object"),
        (Image.new("RGB", (0, 5)), "0x5"),
        (noise(20).convert("CMYK"), "mode is CMYK"),
        (noise(20).convert("RGBA"), "mode is RGBA"),
        (noise(20).convert("L"), "mode is L"),
        (None, "a NoneType"),
        ("picture.png", "a str"),
        (BadValueError("the file is gone"), "the file is gone"),
    ],
)
def test_what_cannot_be_judged_says_why(image, message):
    with pytest.raises(BadValueError, match=message) as caught:
        usable(image)
    assert "\n" not in str(caught.value)


shapes = st.tuples(st.integers(1, 6), st.integers(1, 6))
colours = st.tuples(*[st.integers(0, 255 - TOLERANCE)] * 3)


@given(shape=shapes, colour=colours, seed=st.integers(0, 1000), as_floats=st.booleans())
def test_one_colour_is_unusable_whatever_the_noise_within_the_tolerance(
    shape, colour, seed, as_floats
):
    grain = np.random.default_rng(seed).integers(0, TOLERANCE + 1, (*shape, 3))
    array = (np.array(colour) + grain).astype(np.uint8)
    with pytest.raises(BadValueError, match=r"black|one colour"):
        usable(array / 255 if as_floats else array)


@given(shape=shapes, colour=colours, channel=st.integers(0, 2), data=st.data())
def test_one_pixel_beyond_the_tolerance_makes_a_picture(shape, colour, channel, data):
    array = np.full((shape[0] + 1, shape[1], 3), colour, dtype=np.uint8)
    place = data.draw(st.integers(0, shape[0])), data.draw(st.integers(0, shape[1] - 1))
    array[(*place, channel)] = (
        colour[channel] + TOLERANCE + 1
        if colour[channel] < 255 - TOLERANCE
        else colour[channel] - TOLERANCE - 1
    )
    assert usable(array).size == (shape[1], shape[0] + 1)


@given(shape=shapes, bad=st.sampled_from([np.nan, np.inf, -np.inf]), seed=st.integers(0, 1000))
def test_one_number_that_is_not_finite_is_enough(shape, bad, seed):
    rng = np.random.default_rng(seed)
    array = rng.random((*shape, 3))
    array.flat[rng.integers(array.size)] = bad
    with pytest.raises(BadValueError, match="NaN or infinite"):
        usable(array)
