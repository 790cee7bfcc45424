"""KID and CMMD against the slow definition, their closed forms and an independent library."""

from __future__ import annotations

import math
from itertools import permutations, product
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.metrics import cmmd, kernel_distance

SEEDS = st.integers(0, 10_000)


def rows(seed: int, n: int = 12, d: int = 4, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, size=(n, d))


def turned(seed: int, *sets: np.ndarray) -> list[np.ndarray]:
    d = sets[0].shape[1]
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))
    return [each @ turn for each in sets]


def slow_kid(a: np.ndarray, b: np.ndarray) -> float:
    """Pair by pair, as it is defined."""

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / len(x) + 1) ** 3)

    def within(z: np.ndarray) -> float:
        return float(np.mean([k(x, y) for x, y in permutations(z, 2)]))

    return within(a) + within(b) - 2 * float(np.mean([k(x, y) for x, y in product(a, b)]))


@given(SEEDS)
def test_kid_is_the_mean_over_pairs(seed):
    a, b = rows(seed, n=5, shift=0.5), rows(seed + 1, n=7)
    assert kernel_distance(a, b).value == pytest.approx(slow_kid(a, b), rel=1e-10, abs=1e-12)


@given(SEEDS)
def test_kid_is_symmetric_and_does_not_see_turns(seed):
    a, b = rows(seed, shift=0.5), rows(seed + 1)
    there, back = kernel_distance(a, b), kernel_distance(b, a)
    around = kernel_distance(*turned(seed, a, b))
    assert back.value == pytest.approx(there.value, rel=1e-9, abs=1e-12)
    assert back.standard_error == pytest.approx(there.standard_error, rel=1e-9)
    assert around.value == pytest.approx(there.value, rel=1e-9, abs=1e-12)


def test_torchmetrics_has_the_same_kid():
    peer = pytest.importorskip("torchmetrics.image.kid")
    a, b = rows(1, n=60, d=32, shift=0.2), rows(2, n=60, d=32)
    theirs = float(peer.poly_mmd(torch.from_numpy(a), torch.from_numpy(b)))
    assert kernel_distance(a, b).value == pytest.approx(theirs, rel=1e-8)


def test_kid_of_normal_features_has_the_value_of_the_closed_form():
    # In one dimension, with E x^j = m_j and k = 1 + 3 xy + 3 (xy)^2 + (xy)^3:
    # MMD^2 = 3 (m_1 - m_1')^2 + 3 (m_2 - m_2')^2 + (m_3 - m_3')^2.
    mean = 0.5
    truth = 3 * mean**2 + 3 * (1 + mean**2 - 1) ** 2 + (mean**3 + 3 * mean) ** 2
    found = [
        kernel_distance(rows(s, n=40, d=1, shift=mean), rows(s + 900, n=40, d=1))
        for s in range(300)
    ]
    values = np.array([each.value for each in found])
    assert values.mean() == pytest.approx(truth, abs=4 * values.std() / math.sqrt(len(values)))


def test_kid_has_no_bias_from_few_images_of_one_source():
    values = np.array([kernel_distance(rows(s, n=4), rows(s + 900, n=4)).value for s in range(600)])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(len(values))
    assert (values < 0).mean() > 0.3


@settings(max_examples=20)
@given(SEEDS)
def test_the_standard_error_is_that_of_leaving_out_in_turn(seed):
    a, b = rows(seed, n=5, shift=0.5), rows(seed + 1, n=4)
    without = [
        [kernel_distance(np.delete(a, i, axis=0), b).value for i in range(5)],
        [kernel_distance(a, np.delete(b, i, axis=0)).value for i in range(4)],
    ]
    slow = math.sqrt(sum((len(each) - 1) * np.var(each) for each in without))
    assert kernel_distance(a, b).standard_error == pytest.approx(slow, rel=1e-7)


@settings(max_examples=20)
@given(SEEDS)
def test_the_images_of_one_prompt_are_left_out_together(seed):
    a, b, prompts = rows(seed, n=6, shift=0.5), rows(seed + 1, n=4), ["x", "y", "x", "z", "z", "x"]
    found = kernel_distance(a, b, prompts=prompts)
    without = [
        [kernel_distance(a[[p != left for p in prompts]], b).value for left in ("x", "y", "z")],
        [kernel_distance(a, np.delete(b, i, axis=0)).value for i in range(4)],
    ]
    slow = math.sqrt(sum((len(each) - 1) * np.var(each) for each in without))
    assert found.standard_error == pytest.approx(slow, rel=1e-7)
    assert found.value == kernel_distance(a, b).value


def test_the_standard_error_is_how_far_values_of_new_images_spread():
    found = [kernel_distance(rows(s, n=40, shift=0.4), rows(s + 900, n=40)) for s in range(300)]
    spread = np.std([each.value for each in found])
    assert np.mean([each.standard_error for each in found]) == pytest.approx(spread, rel=0.15)


def test_copies_of_images_do_not_shrink_the_standard_error():
    # Copies bias the value, which assumes independent images; the error must still not shrink.
    a, b = rows(1, n=30, shift=0.4), rows(2, n=30)
    once, naive = kernel_distance(a, b), kernel_distance(np.repeat(a, 4, axis=0), b)
    clustered = kernel_distance(np.repeat(a, 4, axis=0), b, prompts=np.repeat(np.arange(30), 4))
    assert clustered.standard_error == pytest.approx(once.standard_error, rel=0.1)
    assert naive.standard_error < 0.9 * once.standard_error


def test_too_few_to_leave_any_out_have_no_standard_error():
    two = kernel_distance(rows(1, n=2), rows(2, n=9))
    assert math.isfinite(two.value)
    assert math.isnan(two.standard_error)
    assert math.isnan(
        kernel_distance(rows(1, n=9), rows(2, n=9), prompts=["one"] * 9).standard_error
    )


def slow_cmmd(a: np.ndarray, b: np.ndarray) -> float:
    a, b = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (a, b))

    def mean(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean([np.exp(-((p - q) @ (p - q)) / 200) for p, q in product(x, y)]))

    return 1000 * (mean(a, a) + mean(b, b) - 2 * mean(a, b))


@given(SEEDS)
def test_cmmd_is_the_mean_over_all_pairs(seed):
    a, b = rows(seed, n=5, shift=0.5), rows(seed + 1, n=7)
    assert cmmd(a, b) == pytest.approx(slow_cmmd(a, b), rel=1e-7, abs=1e-9)


@given(SEEDS)
def test_cmmd_is_0_for_one_set_symmetric_and_sees_neither_turns_nor_lengths(seed):
    a, b = rows(seed, shift=0.5), rows(seed + 1)
    assert cmmd(a, a) == pytest.approx(0, abs=1e-9)
    assert cmmd(b, a) == pytest.approx(cmmd(a, b), rel=1e-8)
    assert cmmd(*turned(seed, a, b)) == pytest.approx(cmmd(a, b), rel=1e-7)
    assert cmmd(3 * a, b / 7) == pytest.approx(cmmd(a, b), rel=1e-8)


@pytest.mark.parametrize("angle", [0.1, 1.0, math.pi])
def test_cmmd_of_two_directions_has_the_value_of_the_closed_form(angle):
    a = np.tile([1.0, 0.0], (3, 1))
    b = np.tile([math.cos(angle), math.sin(angle)], (5, 1))
    truth = 1000 * (2 - 2 * math.exp(-(2 - 2 * math.cos(angle)) / 200))
    assert cmmd(a, b) == pytest.approx(truth, rel=1e-8)


def test_the_size_of_the_blocks_changes_nothing():
    a, b = rows(1, n=23, shift=0.5), rows(2, n=17)
    whole = kernel_distance(a, b), cmmd(a, b)
    with patch("safelatent.metrics.bootstrap._CELLS", 40):  # two rows
        parts = kernel_distance(a, b), cmmd(a, b)
    assert parts[0].value == pytest.approx(whole[0].value, rel=1e-12)
    assert parts[0].standard_error == pytest.approx(whole[0].standard_error, rel=1e-9)
    assert parts[1] == pytest.approx(whole[1], rel=1e-9)


@pytest.mark.parametrize("metric", [kernel_distance, cmmd])
@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (np.ones((1, 4)), np.ones((3, 4)), "first set has the shape .* at least 2"),
        (np.ones((3, 4)), np.ones(4), r"second set has the shape \(4,\)"),
        (np.ones((3, 4)), np.ones((3, 5)), "4 and 5 values per image"),
        (np.ones((3, 4)), [[1, 1, 1, 1], [1, 1, np.nan, 1]], "1 of 2 rows, first in row 1"),
    ],
)
def test_what_has_no_distance_is_refused(metric, a, b, words):
    with pytest.raises(BadValueError, match=words):
        metric(a, b)


def test_an_embedding_without_direction_is_refused():
    with pytest.raises(BadValueError, match=r"0 in every place of row 2 \(1 such rows of 3\)"):
        cmmd(np.diag([1.0, 1.0, 0.0]), np.eye(3))


def test_prompts_must_belong_to_the_images():
    with pytest.raises(BadValueError, match="a has 12, prompts has 2"):
        kernel_distance(rows(1), rows(2), prompts=["x", "y"])
