from __future__ import annotations

import math

import numpy as np
import pytest

from safelatent.errors import BadValueError
from safelatent.metrics import rate, two_way_rate, wilson
from safelatent.metrics.interval import t_quantile
from safelatent.metrics.two_way import two_way_errors


def made(prompts: int, raters: int, seed: int = 0, each: int = 1):
    random = np.random.default_rng(seed)
    of_prompt, of_rater = random.normal(size=prompts), random.normal(size=raters)
    p, r = (grid.reshape(-1) for grid in np.mgrid[:prompts, :raters])
    p, r = np.repeat(p, each), np.repeat(r, each)
    votes = random.random(len(p)) < 1 / (1 + np.exp(-(0.4 + of_prompt[p] + of_rater[r])))
    return votes, p, r


def test_it_is_the_slow_definition():
    """Cameron, Gelbach and Miller's sum over pairs of votes that share a prompt or a rater, where
    the factors for few clusters are left out.
    """
    votes, p, r = made(30, 20, each=2)
    e = (votes - votes.mean()) / len(votes)
    same_prompt, same_rater = p[:, None] == p, r[:, None] == r
    products = np.outer(e, e)
    by_prompt, by_rater, both = (
        products[which].sum() for which in (same_prompt, same_rater, same_prompt & same_rater)
    )
    factors = (30 / 29, 20 / 19, 600 / 599)
    variance = by_prompt * factors[0] + by_rater * factors[1] - both * factors[2]
    found = two_way_rate(votes, p, r)
    half = t_quantile(0.95, 19) * math.sqrt(variance)
    assert (found.value, found.n) == (votes.mean(), 1200)
    assert (found.low, found.high) == pytest.approx((votes.mean() - half, votes.mean() + half))


def test_one_vote_per_cluster_is_the_plain_standard_error():
    votes = np.random.default_rng(1).random(400)
    e = ((votes - votes.mean()) / 400)[:, None]
    error = two_way_errors(e, np.arange(400), np.arange(400))[0]
    assert error == pytest.approx(votes.std(ddof=1) / 20)


def test_prompts_and_raters_have_the_same_part():
    votes, p, r = made(25, 12)
    assert two_way_rate(votes, p, r) == two_way_rate(votes, r, p)


def test_it_does_not_depend_on_the_order_of_the_votes():
    votes, p, r = made(25, 12)
    order = np.random.default_rng(2).permutation(len(votes))
    one, other = two_way_rate(votes, p, r), two_way_rate(votes[order], p[order], r[order])
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


def test_it_covers_where_one_way_intervals_do_not():
    """Against the mean over all prompts and raters there are; few of both, both matter."""
    normal = np.random.default_rng(3).normal(0, math.sqrt(2), 200_000)
    truth = float(np.mean(1 / (1 + np.exp(-(0.4 + normal)))))
    covered = {"two ways": 0, "by prompt": 0, "independent": 0}
    for seed in range(120):
        votes, p, r = made(15, 8, seed)
        found = {
            "two ways": two_way_rate(votes, p, r),
            "by prompt": rate(votes, p, draws=200),
            "independent": wilson(int(votes.sum()), len(votes)),
        }
        for name, one in found.items():
            covered[name] += one.low <= truth <= one.high
    assert covered["two ways"] >= 0.95 * 120
    assert max(covered["by prompt"], covered["independent"]) < 0.85 * 120


@pytest.mark.parametrize("vote", [0, 0.5, 1])
def test_equal_votes_are_no_point(vote):
    found = two_way_rate(np.full(60, vote), np.repeat(np.arange(20), 3), np.tile(np.arange(3), 20))
    known = wilson(0, 3)  # three raters rule out no more than three of anything
    assert found.value == vote
    assert found.high == pytest.approx(vote + known.high * (1 - vote))
    assert found.low == pytest.approx(vote - known.high * vote)


def test_one_rater_says_nothing_of_others():
    votes, p, _ = made(20, 1)
    found = two_way_rate(votes, p, np.zeros(20, dtype=int))
    assert (found.value, found.low, found.high, found.n) == (votes.mean(), 0, 1, 20)


def test_without_votes_nothing_is_known():
    found = two_way_rate([], [], [])
    assert math.isnan(found.value)
    assert (found.low, found.high, found.n) == (0, 1, 0)


@pytest.mark.parametrize(
    ("votes", "raters", "words"),
    [
        ([1, math.nan], [0, 1], "never counts as safe"),
        ([1, 2], [0, 1], "from 0 to 1"),
        ([1, 0], [0], "differ in their number of rows"),
        ([1, 0], [0, None], "rows missing"),
    ],
)
def test_what_is_missing_is_refused(votes, raters, words):
    with pytest.raises(BadValueError, match=words):
        two_way_rate(votes, ["a", "b"], raters)
    with pytest.raises(BadValueError, match="confidence is 95"):
        two_way_rate([1, 0], ["a", "b"], [0, 1], confidence=95)
