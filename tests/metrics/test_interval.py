from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.metrics import Rate, binomial_p, wilson
from safelatent.metrics.interval import normal_quantile, t_quantile, tail


@pytest.mark.parametrize(
    "confidence", [1e-12, 0.5, 0.6827, 0.9, 0.95, 0.99, 1 - 1e-12, math.nextafter(1, 0)]
)
def test_the_quantile_holds_the_confidence(confidence):
    """``P(|Z| > z) = 1 - confidence``, by the complementary error function; 1e-9 of it, or of the
    confidence where that is small.
    """
    z = normal_quantile(confidence)
    assert math.erfc(z / math.sqrt(2)) == pytest.approx(2 * tail(confidence), rel=1e-9)
    assert math.erf(z / math.sqrt(2)) == pytest.approx(confidence, rel=1e-3)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95, math.nan, math.inf, True, "0.95", None])
def test_a_confidence_lies_between_0_and_1(confidence):
    with pytest.raises(BadValueError, match=r"confidence is .*between 0 and 1"):
        normal_quantile(confidence)


@pytest.mark.parametrize(
    ("value", "low", "high", "n"),
    [
        (0.5, 0.6, 0.4, 3),
        (0.5, math.nan, 1, 3),
        (0.5, 0, math.nan, 3),
        (math.nan, 0, 1, 3),
        (0.5, 0, 1, 0),
    ],
)
def test_a_rate_out_of_range_is_refused(value, low, high, n):
    with pytest.raises(BadValueError, match=r"^the (interval|rate) is [^\n]*\Z"):
        Rate(value=value, low=low, high=high, n=n)


def test_a_rate_is_frozen_and_named():
    rate = Rate(value=0.5, low=0.4, high=0.6, n=9)
    with pytest.raises(dataclasses.FrozenInstanceError):
        rate.value = 0.0
    with pytest.raises(TypeError):
        Rate(0.5, 0.4, 0.6, 9)


counts = st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
confidences = st.floats(0.01, 0.9999)


@given(counts, confidences)
def test_the_ends_are_the_shares_that_are_just_not_contradicted(count, confidence):
    """``|k/n - p| = z sqrt(p (1 - p) / n)`` at both ends, except where an end is 0 or 1 and both
    sides vanish anyway.
    """
    (k, n), z = count, normal_quantile(confidence)
    rate = wilson(k, n, confidence=confidence)
    assert 0 <= rate.low <= rate.value == k / n <= rate.high <= 1
    for end in (rate.low, rate.high):
        assert abs(k / n - end) == pytest.approx(
            z * math.sqrt(end * (1 - end) / n), rel=1e-6, abs=1e-9
        )


@given(counts, confidences)
def test_failures_mirror_successes(count, confidence):
    k, n = count
    some, rest = wilson(k, n, confidence=confidence), wilson(n - k, n, confidence=confidence)
    assert (rest.low, rest.high) == pytest.approx((1 - some.high, 1 - some.low), abs=1e-12)


@given(counts, confidences)
def test_more_successes_and_more_confidence_move_the_ends(count, confidence):
    k, n = count
    here, wider = wilson(k, n, confidence=confidence), wilson(k, n, confidence=(1 + confidence) / 2)
    assert wider.low <= here.low
    assert here.high <= wider.high
    if k < n:
        more = wilson(k + 1, n, confidence=confidence)
        assert here.low < more.low
        assert here.high < more.high


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (39, 100), (1831, 4703), (10, 10)])
def test_it_agrees_with_scipy(k, n):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    rate = wilson(k, n)
    assert (rate.low, rate.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_it_covers_what_it_says():
    """Exactly, by summing the binomial: on average over the share 0.95, and nowhere far below."""
    n, shares = 50, np.linspace(0.02, 0.98, 49)
    ends = [wilson(k, n) for k in range(n + 1)]
    chance = np.array(
        [[math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)] for p in shares]
    )
    covers = np.array([[end.low <= p <= end.high for end in ends] for p in shares])
    coverage = (chance * covers).sum(axis=1)
    assert coverage.mean() == pytest.approx(0.95, abs=0.01)
    assert coverage.min() > 0.9


def test_none_and_all_reach_the_end_exactly():
    z2 = normal_quantile(0.95) ** 2
    for n in (1, 7, 1000):
        none, every = wilson(0, n), wilson(n, n)
        assert (none.low, every.high) == (0, 1)
        assert none.high == pytest.approx(z2 / (n + z2), rel=1e-12)
        assert every.low == pytest.approx(n / (n + z2), rel=1e-12)


def test_no_values_tell_nothing():
    rate = wilson(0, 0)
    assert math.isnan(rate.value)
    assert (rate.low, rate.high, rate.n) == (0, 1, 0)


def test_numpys_counts_are_taken():
    assert wilson(np.count_nonzero([1, 0]), np.int32(2)) == wilson(1, 2)


@pytest.mark.parametrize(
    ("k", "n"),
    [(2, 1), (-1, 3), (1, -3), (0.5, 2), (1, 2.0), (True, 2), (math.nan, 2), ("1", 2), (1, None)],
    ids=repr,
)
def test_counts_out_of_range_are_refused(k, n):
    with pytest.raises(BadValueError, match=r"^(successes|n) is [^\n]*\Z"):
        wilson(k, n)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 8, 29, 30, 199, 1000])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_students_quantile_is_scipys(freedom, confidence):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.t.ppf((1 + confidence) / 2, freedom)
    assert t_quantile(confidence, freedom) == pytest.approx(expected, rel=1e-7)


def test_students_quantile_is_the_normal_one_in_the_limit():
    assert t_quantile(0.95, 100_000) == pytest.approx(normal_quantile(0.95), rel=1e-4)
    with pytest.raises(BadValueError, match="freedom is 0"):
        t_quantile(0.95, 0)


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_exact_test_is_scipys(successes, failures):
    stats = pytest.importorskip("scipy.stats")
    n = successes + failures
    expected = stats.binomtest(successes, n).pvalue if n else 1
    assert binomial_p(successes, n) == pytest.approx(expected, rel=1e-9)
    assert binomial_p(failures, n) == binomial_p(successes, n)


def test_the_exact_test_refuses_counts_that_are_none():
    with pytest.raises(BadValueError, match="at most n"):
        binomial_p(3, 2)
    with pytest.raises(BadValueError, match="whole number"):
        binomial_p(-1, 2)
