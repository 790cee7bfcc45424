from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.metrics import Rate, bootstrap_by_prompt, mean_by_prompt
from safelatent.metrics.bootstrap import Clusters, blocks, by_prompt, resampled_means

verdicts = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40)


def test_the_distribution_is_that_of_drawing_prompts():
    """Four prompts of unequal size, two alike: all 4^4 ordered draws against 20,000 random ones,
    each mean within 4.5 standard errors.
    """
    values, prompts = np.array([1, 0, 0, 1, 1, 0, 0, 0.5]), [0, 0, 1, 2, 2, 3, 3, 3]
    groups = [values[np.array(prompts) == prompt] for prompt in range(4)]
    every = [float(np.concatenate(draw).mean()) for draw in itertools.product(groups, repeat=4)]
    draws = 20_000
    means = resampled_means(by_prompt(values, prompts), draws, np.random.default_rng(1)).round(9)
    kinds, copies = np.unique(np.round(every, 9), return_counts=True)
    assert set(means) <= set(kinds)
    for kind, chance in zip(kinds, copies / 4**4, strict=True):
        error = math.sqrt(chance * (1 - chance) / draws)
        assert np.mean(means == kind) == pytest.approx(chance, abs=4.5 * error), f"mean {kind}"


def test_one_image_a_prompt_is_the_binomial():
    """The number of flagged ones among n prompts drawn again is binomial, so its 2.5 % and 97.5 %
    points are known.
    """
    stats = pytest.importorskip("scipy.stats")
    rate = bootstrap_by_prompt([1] * 30 + [0] * 70, range(100), draws=20_000)
    assert (rate.low, rate.high) == pytest.approx(
        tuple(stats.binom.ppf([0.025, 0.975], 100, 0.3) / 100), abs=0.0101
    )


def test_the_deviation_is_the_closed_form():
    """With prompts of equal size the resampled mean has the variance ``var(prompt means) / P``;
    20,000 draws tell it to 2 %.
    """
    values = np.random.default_rng(3).random(200)
    means = resampled_means(
        by_prompt(values, np.repeat(np.arange(50), 4)), 20_000, np.random.default_rng(0)
    )
    assert means.std() == pytest.approx(
        values.reshape(50, 4).mean(axis=1).std() / math.sqrt(50), rel=0.02
    )
    assert means.mean() == pytest.approx(values.mean(), abs=4 * means.std() / math.sqrt(20_000))


@given(verdicts, st.randoms())
@settings(max_examples=50)
def test_neither_the_order_of_the_rows_nor_the_names_of_the_prompts_matter(rows, shuffle):
    values, prompts = zip(*rows, strict=True)
    shuffled = list(rows)
    shuffle.shuffle(shuffled)
    others, renamed = zip(
        *[(value, f"prompt {9 - prompt}") for value, prompt in shuffled], strict=True
    )
    assert bootstrap_by_prompt(values, prompts, draws=100) == bootstrap_by_prompt(
        others, renamed, draws=100
    )


def test_the_order_of_the_rows_does_not_matter_to_decimals_either():
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last bit."""
    random = np.random.default_rng(8)
    values = random.integers(0, 10, size=120) / 10
    prompts = np.repeat(np.arange(30), 4)
    found = set()
    for _ in range(60):
        order = random.permutation(120)
        rate = bootstrap_by_prompt(values[order], prompts[order], draws=100)
        found.add((rate.value, rate.low, rate.high))
    assert len(found) == 1


@given(verdicts)
@settings(max_examples=50)
def test_the_value_is_the_mean_and_the_ends_are_shares(rows):
    values, prompts = zip(*rows, strict=True)
    rate = bootstrap_by_prompt(values, prompts, draws=100)
    assert rate.value == pytest.approx(sum(values) / len(values))
    assert 0 <= rate.low <= rate.high <= 1
    assert rate.n == len(values)


def test_images_of_a_prompt_are_no_sample_of_prompts():
    """Every image ten times over tells nothing new; as if each were a prompt it would seem to."""
    values = np.random.default_rng(5).random(40) < 0.4
    once = bootstrap_by_prompt(values, range(40))
    tenfold = bootstrap_by_prompt(np.repeat(values, 10), np.repeat(np.arange(40), 10))
    apart = bootstrap_by_prompt(np.repeat(values, 10), range(400))
    assert (tenfold.value, tenfold.low, tenfold.high) == (once.value, once.low, once.high)
    assert apart.high - apart.low < 0.5 * (once.high - once.low)


def test_a_seed_gives_one_result_and_more_confidence_a_wider_one():
    values, prompts = np.random.default_rng(6).random(60), np.repeat(np.arange(20), 3)
    assert bootstrap_by_prompt(values, prompts, seed=1) == bootstrap_by_prompt(
        values, prompts, seed=1
    )
    assert bootstrap_by_prompt(values, prompts, seed=1) != bootstrap_by_prompt(
        values, prompts, seed=2
    )
    narrow, wide = (
        bootstrap_by_prompt(values, prompts, confidence=confidence) for confidence in (0.8, 0.99)
    )
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_the_parts_of_the_draws_do_not_change_the_result(monkeypatch):
    values, prompts = np.random.default_rng(6).random(60), np.repeat(np.arange(20), 3)
    whole = bootstrap_by_prompt(values, prompts, draws=100)
    monkeypatch.setattr("safelatent.metrics.bootstrap._CELLS", 7 * 20)
    assert list(blocks(100, 20)) == [7] * 14 + [2]
    parts = bootstrap_by_prompt(values, prompts, draws=100)
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), rel=1e-12)


@pytest.mark.parametrize("value", [0, 1, 0.3])
def test_where_all_prompts_agree_it_is_a_point(value):
    rate = bootstrap_by_prompt([value] * 60, np.repeat(np.arange(20), 3))
    assert (rate.value, rate.low, rate.high) == pytest.approx((value, value, value), abs=1e-12)


def test_no_prompt_and_one_prompt_tell_nothing_of_the_spread():
    nothing = bootstrap_by_prompt([], [])
    assert math.isnan(nothing.value)
    assert (nothing.low, nothing.high, nothing.n) == (0, 1, 0)
    assert bootstrap_by_prompt([True, False], ["a", "a"]) == Rate(value=0.5, low=0, high=1, n=2)
    assert bootstrap_by_prompt([30, 50], ["a", "a"], limits=(0, 100)) == Rate(
        value=40, low=0, high=100, n=2
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": [1, math.nan]}, "1 of 2 rows missing"),
        ({"values": [1, 30.0]}, "values has 30 in row 1.*0 to 1"),
        ({"values": [1]}, "values has 1, prompts has 2"),
        ({"draws": 99}, "draws is 99; it must be a whole number from 100 "),
        (
            {"draws": 1000, "confidence": 0.9999},
            "draws is 1000; it must be a whole number from 20000 ",
        ),
        ({"seed": -1}, "seed is -1"),
        ({"confidence": 95}, "confidence is 95"),
        ({"limits": (1, 0)}, "limits are"),
        ({"values": [], "prompts": [], "draws": 0}, "draws is 0"),
    ],
    ids=str,
)
def test_bad_input_is_refused(change, message):
    given = {"values": [0, 1], "prompts": ["a", "b"], **change}
    with pytest.raises(BadValueError, match=message):
        bootstrap_by_prompt(given.pop("values"), given.pop("prompts"), **given)


def test_the_interval_knows_clusters():
    """All images of a prompt alike: as uncertain as one image a prompt, and wider than if they were
    independent.
    """
    prompts = np.random.default_rng(0).random(60) < 0.4
    values, clusters = np.repeat(prompts, 10).tolist(), np.repeat(np.arange(60), 10).tolist()
    found = bootstrap_by_prompt(values, clusters)
    alone = bootstrap_by_prompt(prompts.tolist(), range(60))
    independent = bootstrap_by_prompt(values, range(600))
    assert found.low < np.mean(values) < found.high
    assert found.high - found.low == pytest.approx(alone.high - alone.low, abs=0.02)
    assert found.high - found.low > 2 * (independent.high - independent.low)
    sure = bootstrap_by_prompt([True] * 4, range(4))
    assert (sure.low, sure.high) == (1.0, 1.0)


measured = st.lists(
    st.tuples(st.floats(-1e6, 1e6), st.sampled_from(["", "a", "a\0", "b ", "b", 0, 1, "0"]))
)


def clusters_of(means: list[float]) -> Clusters:
    return Clusters(
        sums=np.array(means, dtype=np.float64), counts=np.ones(len(means), dtype=np.intp)
    )


@given(measured)
def test_values_are_gathered_by_the_slow_definition(pairs):
    values, prompts = [value for value, _ in pairs], [prompt for _, prompt in pairs]
    clusters = by_prompt(np.array(values, dtype=np.float64), prompts)
    gathered: dict[object, list[float]] = {}
    for value, prompt in pairs:
        gathered.setdefault(prompt, []).append(value)
    assert len(clusters) == len(gathered)
    assert clusters.n == len(pairs)
    assert clusters.counts.tolist() == [len(group) for group in gathered.values()]
    expected = [math.fsum(group) / len(group) for group in gathered.values()]
    np.testing.assert_allclose(
        mean_by_prompt(values, prompts), expected, rtol=1e-12, atol=1e-6 * 1e-9
    )
    if pairs:
        assert clusters.mean == pytest.approx(math.fsum(values) / len(values), abs=1e-8)


def test_texts_are_the_same_only_to_the_letter():
    assert mean_by_prompt([1, 2, 3, 4], ["a", "a\0", "A", "a "]).tolist() == [1, 2, 3, 4]
    assert mean_by_prompt([1, 3], np.array(["a", "a"])).tolist() == [2]
    assert mean_by_prompt([1, 3], np.array([7, 7])).tolist() == [2]


def test_nothing_has_no_mean():
    assert mean_by_prompt([], []).shape == (0,)
    assert math.isnan(clusters_of([]).mean)


@pytest.mark.parametrize(
    ("means", "differing"),
    [
        ([], 0),
        ([3], 0),
        ([0, 0], 0),
        ([0, 1], 1),
        ([1, 0, 1], 1),
        ([0.3, 0.1 + 0.2], 0),
        ([0.3, 0.3 + 1e-9], 1),
        ([1, 2, 2, 3, 3, 3], 3),
    ],
)
def test_how_many_prompts_differ_from_the_commonest_mean(means, differing):
    assert clusters_of(means).differing == differing


@pytest.mark.parametrize("prompt", [None, math.nan, 1.5, True, ("a",), b"a", ["a"]], ids=repr)
def test_what_stands_for_no_prompt_is_refused(prompt):
    with pytest.raises(BadValueError, match=r"^(the )?prompts h(as|old) [^\n]*\Z"):
        mean_by_prompt([1, 2], ["a", prompt])


def test_a_prompt_a_value():
    with pytest.raises(BadValueError, match="values has 2, prompts has 1"):
        mean_by_prompt([1, 2], ["a"])
    with pytest.raises(BadValueError, match="prompts is 'ab'"):
        mean_by_prompt([1, 2], "ab")
