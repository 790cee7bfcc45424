"""MIND against the slow definition and its closed forms."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, wasserstein_distance

from safelatent.errors import BadValueError
from safelatent.metrics import mind
from safelatent.metrics.sliced import _directions

SEEDS = st.integers(0, 10_000)


def rows(seed: int, n: int = 12, d: int = 4, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, size=(n, d))


def drawn(count: int, d: int, seed: int) -> np.ndarray:
    return np.concatenate(list(_directions(count, d, seed)))


@given(SEEDS)
def test_mind_is_the_mean_over_directions_of_sorted_differences(seed):
    a, b = rows(seed, shift=0.5), rows(seed + 1)
    slow = np.mean([(np.sort(a @ u) - np.sort(b @ u)) ** 2 for u in drawn(20, 4, seed)])
    assert mind(a, b, directions=20, seed=seed) == pytest.approx(3 * 4 * slow, rel=1e-10)


@given(SEEDS)
def test_mind_is_0_for_one_set_and_symmetric(seed):
    a, b = rows(seed, n=6, shift=0.5), rows(seed + 1, n=9)
    assert mind(a, a[::-1], directions=20) == pytest.approx(0, abs=1e-20)
    assert mind(a, b, directions=20) == pytest.approx(mind(b, a, directions=20), rel=1e-12)


@given(SEEDS, st.integers(2, 5), st.integers(2, 5))
def test_repeating_every_image_changes_nothing(seed, times, others):
    # So sets of different size have the value of equal sizes, with both repeated to that size.
    a, b = rows(seed, n=6, shift=0.5), rows(seed + 1, n=9)
    repeated = mind(np.repeat(a, times, axis=0), np.tile(b, (others, 1)), directions=20)
    assert repeated == pytest.approx(mind(a, b, directions=20), rel=1e-10)


def test_one_feature_is_the_transport_of_numbers():
    # All numbers of ``a`` lie one further than those of ``b`` at the same share, so that the
    # squared transport is the square of the plain one.
    a, b = np.arange(6.0), np.repeat(np.arange(6.0) - 1.5, 4)
    plain = wasserstein_distance(a, b)
    assert mind(a[:, None], b[:, None]) == pytest.approx(3 * plain**2, rel=1e-12)


@pytest.mark.parametrize("count", [16, 48])
def test_a_shift_counts_three_times_its_square(count):
    # Exactly, along as many directions at right angles as there are features.
    a, shift = rows(1, d=16), rows(2, n=1, d=16)
    truth = 3 * float((shift**2).sum())
    assert mind(a, a + shift, directions=count) == pytest.approx(truth, rel=1e-10)


def test_directions_are_of_length_1_at_right_angles_and_point_anywhere():
    assert [len(some) for some in _directions(10, 4, 0)] == [4, 4, 2]
    for some in _directions(10, 4, 0):
        assert some @ some.T == pytest.approx(np.eye(len(some)), abs=1e-12)
    single = np.concatenate([next(_directions(1, 3, seed)) for seed in range(4000)])
    # The first numbers of uniform directions in space are uniform from -1 to 1, up to their sign.
    assert kstest(np.abs(single[:, 0]), "uniform").pvalue > 0.001


def test_a_change_of_scale_counts_by_the_mean_square():
    a = rows(1, n=200, d=16)
    truth = 3 * (1.5 - 1) ** 2 * float((a**2).sum(axis=1).mean())
    assert mind(a, 1.5 * a, directions=4000) == pytest.approx(truth, rel=0.02)


def test_turning_all_features_changes_no_more_than_other_directions_do():
    a, b = rows(1, n=100, d=8, shift=0.5), rows(2, n=100, d=8)
    turn, _ = np.linalg.qr(rows(3, n=8, d=8))
    values = [mind(a, b, directions=500, seed=seed) for seed in range(20)]
    spread = float(np.std(values))
    assert mind(a @ turn, b @ turn, directions=500) == pytest.approx(values[0], abs=5 * spread)
    assert 0 < spread < 0.1 * np.mean(values)


def test_normal_features_have_the_value_of_the_closed_form():
    # Every projection is normal, with means u . m apart and deviations 1 and 2:
    # 3 D (|m|^2 / D + (2 - 1)^2).
    random, mean = np.random.default_rng(0), np.array([0.5, -0.5, 1.0])
    a, b = random.normal(size=(20_000, 3)) + mean, 2 * random.normal(size=(20_000, 3))
    assert mind(a, b, directions=400) == pytest.approx(3 * 3 * (1.5 / 3 + 1), rel=0.05)


def test_features_drawn_with_the_seed_of_the_directions_are_no_farther_apart():
    random = np.random.default_rng(0)
    a, b = random.normal(0.2, 1, size=(50, 128)), random.normal(size=(50, 128))
    others = [mind(a, b, directions=100, seed=seed) for seed in range(1, 9)]
    spread = float(np.std(others))
    assert mind(a, b, directions=100, seed=0) == pytest.approx(np.mean(others), abs=5 * spread)


def test_the_size_of_the_blocks_changes_nothing():
    a, b = rows(1, n=23), rows(2, n=17)
    whole = mind(a, b, directions=50)
    with patch("safelatent.metrics.bootstrap._CELLS", 100):  # two directions
        assert mind(a, b, directions=50) == pytest.approx(whole, rel=1e-12)


def test_what_has_no_distance_is_refused():
    good = rows(1)
    for a, b, settings, words in (
        (good[:1], good, {}, "at least 2"),
        (good, good[:, :3], {}, "4 and 3 values per image"),
        (good * np.nan, good, {}, "NaN, infinity .* in 12 of 12 rows"),
        (good, good, {"directions": 0}, "directions is 0"),
        (good, good, {"seed": 0.5}, "seed is 0.5"),
    ):
        with pytest.raises(BadValueError, match=words):
            mind(a, b, **settings)
