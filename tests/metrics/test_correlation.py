from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.metrics import Correlation, spearman
from safelatent.metrics.interval import normal_quantile
from tests.prompts import i2p_like

columns = st.lists(st.tuples(st.integers(-5, 5), st.floats(-1e6, 1e6)), min_size=4, max_size=30)


@given(columns)
def test_it_agrees_with_scipy(pairs):
    stats = pytest.importorskip("scipy.stats")
    x, y = zip(*pairs, strict=True)
    found = spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(found.rho)
    else:
        assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


@given(st.permutations(range(8)))
def test_without_ties_it_is_the_sum_of_squared_rank_differences(order):
    """``1 - 6 sum d^2 / (n (n^2 - 1))``."""
    squares = sum((rank - other) ** 2 for rank, other in enumerate(order))
    assert spearman(range(8), order).rho == pytest.approx(1 - 6 * squares / (8 * 63), abs=1e-12)


@given(columns)
def test_it_is_symmetric_and_knows_only_the_order(pairs):
    x, y = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    found = spearman(x, y)
    swapped, turned, bent = spearman(y, x), spearman(-x, y), spearman(x**3, y)
    ends = [
        (swapped.rho, swapped.low, swapped.high),
        (-turned.rho, -turned.high, -turned.low),
        (bent.rho, bent.low, bent.high),
    ]
    for end in ends:
        assert end == pytest.approx(
            (found.rho, found.low, found.high), abs=1e-9, nan_ok=True
        ) or math.isnan(found.rho)
    assert -1 <= found.low <= found.high <= 1
    assert found.low < found.high
    assert math.isnan(found.rho) or found.low <= found.rho <= found.high


def test_the_interval_is_the_closed_form():
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    found = spearman(x, x + y, confidence=0.9)
    z = normal_quantile(0.9) * math.sqrt((1 + found.rho**2 / 2) / 47)
    assert (math.atanh(found.low), math.atanh(found.high)) == pytest.approx(
        (math.atanh(found.rho) - z, math.atanh(found.rho) + z)
    )


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_it_covers_what_it_says(correlation):
    """Of 500 normal samples of 30 with a known rank correlation, ``6/pi asin(r/2)``; at 0.94 fewer
    than 0.905 come about once in 1,600.
    """
    truth = 6 / math.pi * math.asin(correlation / 2)
    x, noise = np.random.default_rng(3).normal(size=(2, 500, 30))
    y = correlation * x + math.sqrt(1 - correlation**2) * noise
    found = [spearman(a, b) for a, b in zip(x, y, strict=True)]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.905


def test_a_perfect_order_has_no_point_for_an_interval():
    up, down = spearman([1, 2, 3, 4], [2, 4, 8, 16]), spearman([1, 2, 3, 4], [4, 3, 2, 1])
    assert (up.rho, up.high) == (1, 1)
    assert (down.rho, down.low) == (-1, -1)
    assert down.high == pytest.approx(-up.low)
    lows = [spearman(range(n), range(n)).low for n in (4, 5, 10, 100, 1000)]
    assert lows == sorted(lows)
    assert -1 < lows[0] < 0
    assert 0.99 < lows[-1] < 1


@pytest.mark.parametrize(
    ("x", "y"),
    [([], []), ([1], [2]), ([1, 2, 3], [1, 2, 3]), ([5] * 9, range(9)), (range(9), [True] * 9)],
    ids=str,
)
def test_too_few_or_constant_tell_nothing(x, y):
    found = spearman(x, y)
    assert math.isnan(found.rho)
    assert (found.low, found.high, found.n) == (-1, 1, len(x))


def pairs_of(rows) -> list[list[float]]:
    names = ("prompt_toxicity", "inappropriate_percentage")
    return [[float(row[name]) for row in rows] for name in names]


def test_the_figure_of_thirty_rows():
    stats = pytest.importorskip("scipy.stats")
    x, y = pairs_of(i2p_like.rows())
    found = spearman(x, y)
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert found.low < 0 < found.high, "the one column was made without the other"
    assert found.n == 30


@i2p_like.needs_data
def test_the_figure_of_the_data_set():
    found = spearman(*pairs_of(i2p_like.published_rows()))
    assert round(found.rho, 3) == i2p_like.SPEARMAN
    assert found.n == i2p_like.PUBLISHED.rows
    assert 0.19 < found.low < found.high < 0.25


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1, 2, 3, math.nan], range(4)),
        (range(4), [1, 2, None, 4]),
        (range(4), range(5)),
        ("abcd", range(4)),
    ],
    ids=str,
)
def test_bad_input_is_refused(x, y):
    with pytest.raises(BadValueError, match=r"^(x|y|the columns) [^\n]*\Z"):
        spearman(x, y)


def test_a_result_out_of_range_is_refused():
    with pytest.raises(BadValueError, match=r"the interval is from 0\.2 to 0\.0"):
        Correlation(rho=0.1, low=0.2, high=0.0, n=9)
