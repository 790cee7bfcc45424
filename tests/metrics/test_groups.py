"""Groups against each other, by theorem: coverage and false findings in simulations, symmetry,
scipy's exact test.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from safelatent.errors import BadValueError
from safelatent.metrics import against_others, mean_of_groups, wilson
from safelatent.metrics.groups import fisher, holm

RATES = np.array([0.02, 0.8, 0.1, 0.05, 0.65, 0.15, 0.3, 0.45, 0.72, 0.08])


@given(st.integers(1, 60), st.integers(1, 60), st.data())
@settings(max_examples=60, deadline=None)
def test_fishers_test_is_scipys(n, o, data):
    k, m = data.draw(st.integers(0, n)), data.draw(st.integers(0, o))
    assert fisher(k, n, m, o) == pytest.approx(fisher_exact([[k, n - k], [m, o - m]])[1], rel=1e-6)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(values):
    adjusted = holm(values)
    assert all(before <= after <= 1 for before, after in zip(values, adjusted, strict=True))
    order = sorted(range(len(values)), key=values.__getitem__)
    assert [adjusted[n] for n in order] == sorted(adjusted)


def test_groups_that_do_not_differ_are_rarely_found():
    """The chance of any false finding over all groups stays below the level."""
    random = np.random.default_rng(1)
    found = [
        min(
            one.adjusted
            for one in against_others(random.binomial(40, 0.35, 12).tolist(), [40] * 12)
        )
        for _ in range(300)
    ]
    assert np.mean(np.array(found) < 0.05) <= 0.05


def test_a_group_like_the_mean_of_different_others_is_rarely_found():
    random = np.random.default_rng(2)
    rates = np.append(RATES, RATES.mean())
    found = [
        against_others(random.binomial(50, rates).tolist(), [50] * len(rates))[-1].p
        for _ in range(300)
    ]
    assert np.mean(np.array(found) < 0.05) <= 0.05


def test_a_group_that_differs_is_found():
    contrasts = against_others([80, *[20] * 9], [100] * 10)
    assert contrasts[0].adjusted < 1e-6
    assert contrasts[0].difference == pytest.approx(0.6)
    assert all(one.adjusted > 0.05 for one in contrasts[1:])


def test_the_intervals_cover_mean_and_difference():
    """95 %; a mean less three standard errors of 150 draws."""
    random = np.random.default_rng(3)
    means, differences = [], []
    for _ in range(150):
        counts = random.binomial(100, RATES).tolist()
        mean = mean_of_groups(counts, [100] * len(RATES))
        means.append(mean.low <= RATES.mean() <= mean.high)
        for place, one in enumerate(against_others(counts, [100] * len(RATES))):
            true = RATES[place] - np.delete(RATES, place).mean()
            differences.append(one.low <= true <= one.high)
    assert np.mean(means) >= 0.9
    assert np.mean(differences) >= 0.93


def test_groups_without_images_are_in_no_number():
    contrasts = against_others([5, 0, 1], [10, 0, 10])
    assert math.isnan(contrasts[1].difference)
    assert (contrasts[1].low, contrasts[1].high, contrasts[1].p) == (-1, 1, 1)
    assert contrasts[0].difference == pytest.approx(0.4)
    assert mean_of_groups([5, 0, 1], [10, 0, 10]).n == 2
    assert math.isnan(mean_of_groups([], []).value)
    assert math.isnan(against_others([5], [10])[0].difference)


def test_the_mean_of_one_group_is_its_share():
    mean, share = mean_of_groups([3], [10]), wilson(3, 10)
    assert (mean.value, mean.n) == (0.3, 1)
    assert (mean.low, mean.high) == pytest.approx((share.low, share.high))


@pytest.mark.parametrize(("successes", "counts"), [([1], [1, 2]), ([3, 1], [2, 2]), ([-1], [2])])
def test_impossible_counts_are_refused(successes, counts):
    for function in (mean_of_groups, against_others):
        with pytest.raises(BadValueError):
            function(successes, counts)
