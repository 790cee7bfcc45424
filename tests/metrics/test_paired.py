from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.metrics import PairedDifference, bootstrap_by_prompt, paired_difference, wilson
from safelatent.metrics.paired import swap_p_value

pairs = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 7)), max_size=30)


def p_of(sums: list[float], draws: int = 10, seed: int = 0) -> float:
    return swap_p_value(np.array(sums, dtype=np.float64), draws, np.random.default_rng(seed))


@given(pairs)
@settings(max_examples=60)
def test_the_p_value_is_the_share_of_all_swaps(rows):
    """The slow definition: swap the two methods in every subset of the prompts and take the means
    again.
    """
    first, second, prompts = (np.array([row[i] for row in rows], dtype=float) for i in range(3))
    found = paired_difference(first, second, prompts.astype(int), draws=100)
    names, observed = np.unique(prompts), abs(first.sum() - second.sum())
    extreme = 0
    for swapped in itertools.product([False, True], repeat=len(names)):
        swap = np.isin(prompts, names[np.array(swapped, dtype=bool)])
        a, b = np.where(swap, second, first), np.where(swap, first, second)
        extreme += abs(a.sum() - b.sum()) >= observed
    assert found.p == extreme / 2 ** len(names)
    assert found.prompts == len(names)
    assert found.n == len(rows)
    assert (
        math.isnan(found.difference)
        if not rows
        else found.difference == pytest.approx(first.mean() - second.mean())
    )


@pytest.mark.parametrize(
    "sums", [[1, 2, 3, 4], [0.1, 0.2, 0.3, -0.6, 0.7], [1.0] * 9, [5, -5, 1e-3, 0, 2]], ids=str
)
def test_a_p_value_is_valid(sums):
    """Among all signs, those with a p-value of at most alpha are at most a share alpha: what a test
    must be, whatever the data.
    """
    p_values = np.array(
        [
            p_of([sign * size for sign, size in zip(signs, sums, strict=True)])
            for signs in itertools.product([1, -1], repeat=len(sums))
        ]
    )
    for alpha in np.unique(p_values):
        assert np.mean(p_values <= alpha) <= alpha + 1e-12


def test_random_swaps_estimate_the_share_of_all():
    """20 prompts, all 2^20 totals by adding them up, against 40,000 swaps, equal sizes and unequal
    ones: within four standard errors.
    """
    for sizes in (np.repeat([1.0, 2.0, 3.0, 4.0], 5), np.random.default_rng(2).random(20)):
        sums = sizes * np.where(np.arange(20) % 3 == 0, -1, 1)
        totals = np.zeros(1)
        for size in sizes:
            totals = np.concatenate([totals + size, totals - size])
        exact = np.mean(np.abs(totals) >= abs(sums.sum()) - 1e-9)
        error = math.sqrt(exact * (1 - exact) / 40_000)
        assert p_of(sums, draws=40_000) == pytest.approx(exact, abs=4 * error + 1 / 40_000)


def test_random_swaps_never_give_0():
    assert p_of([1.0] * 40, draws=999) == 1 / 1000
    assert p_of([0.0] * 40, draws=999) == 1


def null(random: np.random.Generator, prompts: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Two methods that are alike, on prompts that take to one or the other: the images of a prompt
    then differ together.
    """
    own = np.repeat(random.beta(0.5, 0.5, prompts), images)
    other = np.repeat(random.beta(0.5, 0.5, prompts), images)
    return random.random(prompts * images) < own, random.random(prompts * images) < other


@pytest.mark.parametrize("prompts", [12, 30])
def test_no_difference_is_found_where_there_is_none(prompts):
    """At 0.05, of 400 runs at most 33 (a chance of 1 in 480 of more); and 0.89 of the intervals
    hold 0.

    Were every image a prompt of its own, a difference would be found several times as often.
    """
    random, runs, found, naive, covered = np.random.default_rng(11), 400, 0, 0, 0
    names = np.repeat(np.arange(prompts), 10)
    for _ in range(runs):
        first, second = null(random, prompts, 10)
        result = paired_difference(first, second, names, draws=199)
        found += result.p <= 0.05
        covered += result.low <= 0 <= result.high
        naive += paired_difference(first, second, range(len(names)), draws=100).p <= 0.05
    assert found <= 33
    assert covered >= 0.89 * runs
    assert naive >= 3 * 33


def test_a_difference_is_found_where_there_is_one():
    random = np.random.default_rng(12)
    first = random.random(400) < 0.4
    second = first & (random.random(400) < 0.5)
    result = paired_difference(second, first, np.repeat(np.arange(40), 10))
    assert result.high < 0
    assert result.p < 0.001
    assert result.difference == pytest.approx(second.mean() - first.mean())


@given(pairs)
@settings(max_examples=60)
def test_the_other_way_round_it_has_the_other_sign(rows):
    first, second, prompts = ([row[i] for row in rows] for i in range(3))
    one, two = (
        paired_difference(first, second, prompts, draws=100),
        paired_difference(second, first, prompts, draws=100),
    )
    assert one.p == two.p
    assert not rows or one.difference == -two.difference


@pytest.mark.parametrize("prompts", [12, 40], ids=["all swaps", "random swaps"])
def test_the_order_of_the_rows_does_not_matter(prompts):
    random = np.random.default_rng(15)
    first, second = random.integers(0, 10, size=(2, 4 * prompts)) / 10
    names = np.repeat(np.arange(prompts), 4)
    found = set()
    for _ in range(60):
        order = random.permutation(len(names))
        one = paired_difference(first[order], second[order], names[order], draws=100)
        found.add((one.difference, one.low, one.high, one.p))
    assert len(found) == 1


def test_the_interval_the_other_way_round_is_the_mirror_image():
    """Up to the draws: at 20,000 an end errs by some 0.0007."""
    first, second = np.random.default_rng(14).random((2, 300))
    prompts = np.repeat(np.arange(60), 5)
    one, two = (
        paired_difference(first, second, prompts, draws=20_000),
        paired_difference(second, first, prompts, draws=20_000),
    )
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low), abs=0.003)
    assert one.p == two.p


def test_the_interval_is_the_bootstrap_of_the_differences():
    random, prompts = np.random.default_rng(13), np.repeat(np.arange(60), 5)
    first, second = random.random(300) < 0.4, random.random(300) < 0.3
    result = paired_difference(first, second, prompts, draws=20_000)
    alone = bootstrap_by_prompt(first.astype(float) - second, prompts, draws=20_000, limits=(-1, 1))
    assert (result.low, result.high) == pytest.approx((alone.low, alone.high), abs=0.004)


@pytest.mark.parametrize("value", [0, 1, 0.3])
def test_equal_methods_do_not_differ_but_for_what_was_not_seen(value):
    result = paired_difference([value] * 80, [value] * 80, np.repeat(np.arange(40), 2))
    assert (result.difference, result.p, result.prompts) == (0, 1, 40)
    unseen = wilson(0, 40).high
    assert (result.low, result.high) == pytest.approx((-unseen, unseen))


def test_no_pairs_tell_nothing_and_one_prompt_little():
    nothing = paired_difference([], [], [])
    assert math.isnan(nothing.difference)
    assert (nothing.low, nothing.high, nothing.p, nothing.n, nothing.prompts) == (-1, 1, 1, 0, 0)
    assert paired_difference([1, 1], [0, 0], ["a", "a"]) == PairedDifference(
        difference=1, low=-1, high=1, p=1, n=2, prompts=1
    )


def test_other_measures_name_their_limits():
    result = paired_difference([30, 50], [20, 90], ["a", "b"], limits=(0, 100))
    assert result.difference == -15
    assert -100 <= result.low <= -40
    assert 10 <= result.high <= 100
    endless = paired_difference([3.0], [5.0], ["a"], limits=(-math.inf, math.inf))
    assert (endless.difference, endless.low, endless.high) == (-2, -math.inf, math.inf)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first": [0, math.nan]}, "first has 1 of 2 rows missing"),
        ({"second": [None, 1]}, "second has 1 of 2 rows missing"),
        ({"second": [1]}, "first has 2, second has 1"),
        ({"prompts": ["a"]}, "prompts has 1"),
        ({"first": [0, 2]}, "first has 2 in row 1"),
        ({"draws": 0}, "draws is 0"),
        ({"seed": True}, "seed is True"),
        ({"confidence": 1}, "confidence is 1"),
        ({"limits": (0, 0)}, "limits are"),
    ],
    ids=str,
)
def test_bad_input_is_refused(change, message):
    given = {"first": [0, 1], "second": [1, 1], "prompts": ["a", "b"], **change}
    with pytest.raises(BadValueError, match=message):
        paired_difference(given.pop("first"), given.pop("second"), given.pop("prompts"), **given)


@pytest.mark.parametrize(
    "change",
    [{"p": 0}, {"p": 1.1}, {"p": math.nan}, {"low": 2}, {"difference": math.nan}, {"n": 0}],
    ids=str,
)
def test_a_result_out_of_range_is_refused(change):
    with pytest.raises(BadValueError, match=r"^the (interval|p-value|difference) is [^\n]*\Z"):
        PairedDifference(
            **{"difference": 0.1, "low": 0.0, "high": 0.2, "p": 0.5, "n": 3, "prompts": 2, **change}
        )
