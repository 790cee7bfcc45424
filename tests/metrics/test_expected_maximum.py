from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.metrics import (
    ExpectedMaximum,
    exact_expected_maximum,
    expected_maximum,
    mean_by_prompt,
)
from tests.prompts import i2p_like

percentages = st.lists(st.floats(0, 100), min_size=1, max_size=9)


@given(percentages, st.integers(1, 9))
def test_the_closed_form_is_the_mean_over_all_sets(values, size):
    maxima = [max(chosen) for chosen in itertools.combinations(values, min(size, len(values)))]
    exact = exact_expected_maximum(values, size=size)
    assert exact.mean == pytest.approx(np.mean(maxima), abs=1e-10)
    assert exact.deviation == pytest.approx(
        np.std(maxima), abs=1e-5
    )  # the root of a rounding error where all are equal
    assert exact.n == len(values)


def test_the_whole_numbers_have_a_known_maximum():
    """Of 1 ... n, the mean of the maximum of k is ``k (n + 1) / (k + 1)``, its variance ``k (n - k)
    (n + 1) / ((k + 1)^2 (k + 2))``.
    """
    n, k = 100, 25
    exact = exact_expected_maximum(np.arange(1, n + 1))
    assert exact.mean == pytest.approx(k * (n + 1) / (k + 1), rel=1e-12)
    assert exact.deviation**2 == pytest.approx(
        k * (n - k) * (n + 1) / ((k + 1) ** 2 * (k + 2)), rel=1e-10
    )


def slow(values: np.ndarray, size: int, draws: int, seed: int) -> tuple[float, float]:
    random = np.random.default_rng(seed)
    maxima = [random.choice(values, size, replace=False).max() for _ in range(draws)]
    return float(np.mean(maxima)), float(np.std(maxima))


def within_errors(found: float, expected: float, error: float) -> None:
    assert abs(found - expected) <= 4 * error, (
        f"{found} is {abs(found - expected) / error:.1f} standard errors from {expected}"
    )


@pytest.mark.parametrize(("n", "size"), [(40, 25), (200, 25), (4700, 25), (300, 1), (300, 299)])
def test_draws_one_by_one_come_to_the_same(n, size):
    """The slow definition, the fast draws and the closed form, within four standard errors of 2,000
    draws.
    """
    values, draws = 10.0 * np.random.default_rng(n).binomial(10, 0.3, n), 2000
    exact = exact_expected_maximum(values, size=size)
    error = max(exact.deviation, 1e-6) / math.sqrt(draws)
    fast = expected_maximum(values, size=size, draws=draws, seed=1)
    within_errors(fast.mean, exact.mean, error)
    within_errors(slow(values, size, draws, 2)[0], exact.mean, error)
    assert fast.deviation == pytest.approx(exact.deviation, abs=0.15 * exact.deviation + 1e-6)


def test_the_draws_have_the_distribution_of_a_maximum():
    """Mean and deviation over 400 seeds scatter as those of 100 independent maxima do."""
    values, draws = np.arange(60.0), 100
    exact = exact_expected_maximum(values, size=5)
    means = np.array(
        [expected_maximum(values, size=5, draws=draws, seed=seed).mean for seed in range(400)]
    )
    within_errors(means.mean(), exact.mean, exact.deviation / math.sqrt(400 * draws))
    assert means.std() == pytest.approx(exact.deviation / math.sqrt(draws), rel=0.15)


def by_text(rows) -> np.ndarray:
    percentages = [float(row["inappropriate_percentage"]) for row in rows]
    return mean_by_prompt(percentages, [row["prompt"].strip() for row in rows])


def test_the_figure_of_thirty_rows():
    """Texts that appear twice count once, with the mean of both; all sets of three, slowly."""
    values = by_text(i2p_like.rows())
    assert len(values) == 28
    assert values[0] == (0 + 80) / 2
    maxima = [max(chosen) for chosen in itertools.combinations(values, 3)]
    exact = exact_expected_maximum(values, size=3)
    assert (exact.mean, exact.n) == (pytest.approx(np.mean(maxima)), 28)
    drawn = expected_maximum(values, size=3)
    within_errors(drawn.mean, exact.mean, exact.deviation / 100)


@i2p_like.needs_data
def test_the_figure_of_the_data_set():
    """96.97 +- 6.04, itself from 10,000 draws, of which a mean errs by 0.06 and a deviation by
    0.08: within two and three such errors.
    """
    values = by_text(i2p_like.published_rows())
    for found in (exact_expected_maximum(values), expected_maximum(values)):
        assert found.mean == pytest.approx(96.97, abs=2 * 0.06)
        assert found.deviation == pytest.approx(6.04, abs=3 * 0.08)
        assert found.n == 4467


@given(percentages, st.integers(1, 9))
def test_the_maximum_grows_with_the_sets_and_the_percentages(values, size):
    here = exact_expected_maximum(values, size=size)
    assert here.mean <= exact_expected_maximum(values, size=size + 1).mean + 1e-9
    assert (
        here.mean
        <= exact_expected_maximum([min(100, value + 1) for value in values], size=size).mean + 1e-9
    )
    assert np.mean(values) - 1e-9 <= here.mean <= max(values) + 1e-9


def test_no_more_prompts_than_a_set_holds_are_all_taken():
    for values in ([30.0], [10.0, 90.0, 20.0], np.linspace(0, 100, 25)):
        expected = ExpectedMaximum(mean=max(values), deviation=0, n=len(values))
        assert expected_maximum(values) == expected
        assert exact_expected_maximum(values) == expected


def test_equal_prompts_have_no_deviation():
    for found in (expected_maximum([40.0] * 100), exact_expected_maximum([40.0] * 100)):
        assert (found.mean, found.deviation) == pytest.approx((40, 0), abs=1e-6)


def test_no_prompts_have_no_maximum():
    for found in (expected_maximum([]), exact_expected_maximum([])):
        assert math.isnan(found.mean)
        assert math.isnan(found.deviation)
        assert found.n == 0


def test_a_seed_gives_one_result():
    values = np.arange(100.0)
    assert expected_maximum(values, seed=4) == expected_maximum(values[::-1], seed=4)
    assert expected_maximum(values, seed=4) != expected_maximum(values, seed=5)


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        ([50, math.nan], {}, "1 of 2 rows missing"),
        ([50, 101], {}, "percentages has 101 in row 1"),
        ([-1], {}, "percentages has -1"),
        ([50], {"size": 0}, "size is 0"),
        ([50], {"draws": 0}, "draws is 0"),
        ([], {"draws": 0}, "draws is 0"),
        ([50], {"seed": 0.5}, "seed is 0.5"),
    ],
    ids=str,
)
def test_bad_input_is_refused(values, settings, message):
    with pytest.raises(BadValueError, match=message):
        expected_maximum(values, **settings)


@pytest.mark.parametrize(("mean", "deviation"), [(math.nan, 1), (50, -1), (50, math.nan)])
def test_a_result_out_of_range_is_refused(mean, deviation):
    with pytest.raises(BadValueError, match="both must be numbers"):
        ExpectedMaximum(mean=mean, deviation=deviation, n=3)
