"""The CLIP distance against its closed forms and the bootstrap that it is the mean of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.metrics import bootstrap_by_prompt, clip_distance


def rows(seed: int, n: int = 12, d: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize(("angle", "distance"), [(0, 0), (math.pi / 2, 1), (math.pi, 2)])
def test_the_distance_is_that_of_directions(angle, distance):
    image, text = [[3.0, 0.0]], [[7 * math.cos(angle), 7 * math.sin(angle)]]
    found = clip_distance(image, text, ["a prompt"])
    assert found.value == pytest.approx(distance)
    assert (found.low, found.high, found.n) == (0, 2, 1)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_mean_and_interval_are_those_of_whole_prompts(seed):
    images, texts, prompts = rows(seed), rows(seed + 1), [f"p{i // 3}" for i in range(12)]
    slow = [
        1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        for x, y in zip(images, texts, strict=True)
    ]
    found = clip_distance(images, texts, prompts, seed=3)
    expected = bootstrap_by_prompt(slow, prompts, seed=3, limits=(0, 2))
    assert found.value == pytest.approx(np.mean(slow), rel=1e-9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert 0 <= found.low < found.value < found.high <= 2


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_neither_lengths_nor_turns_nor_the_order_change_it(seed):
    images, texts, prompts = rows(seed), rows(seed + 1), list(range(12))
    turn, _ = np.linalg.qr(rows(seed, n=4))
    first = clip_distance(images, texts, prompts)
    for other in (
        clip_distance(5 * images, texts / 3, prompts),
        clip_distance(images @ turn, texts @ turn, prompts),
        clip_distance(images[::-1], texts[::-1], prompts[::-1]),
    ):
        assert other.value == pytest.approx(first.value, rel=1e-9)
        assert other.low == pytest.approx(first.low, rel=1e-6)


def test_embeddings_in_half_precision_are_summed_in_double():
    images = rows(1, n=4000, d=64).astype(np.float16)
    found = clip_distance(images, images, list(range(4000)))
    assert found.value == pytest.approx(0, abs=1e-12)


def test_what_does_not_belong_together_is_refused():
    good, prompts = rows(1), list(range(12))
    for images, texts, names, words in (
        (good[:0], good[:0], [], r"shape \(0, 4\)"),
        (good, good[:5], prompts, "images has 12, texts has 5"),
        (good, good, prompts[:5], "prompts has 5"),
        (good, good[:, :3], prompts, "4 and 3 values per image"),
        (good, good * 0, prompts, "texts has 0 in every place of row 0"),
        (good * np.inf, good, prompts, "images has missing values, NaN, infinity"),
    ):
        with pytest.raises(BadValueError, match=words):
            clip_distance(images, texts, names)
