from __future__ import annotations

import math

import numpy as np
import pytest

from safelatent.errors import BadValueError
from safelatent.metrics import Score, bradley_terry

# Wins of the American League's East division in 1987, a row's team over a column's; A. Agresti,
# Categorical Data Analysis, 2nd edition, section 10.6. The scores are against the last team's.
TEAMS = [
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]
PUBLISHED = [1.581, 1.436, 1.294, 1.248, 1.108, 0.684, 0.0]


def votes_of(wins):
    found = [(i, j) for i, row in enumerate(wins) for j, n in enumerate(row) for _ in range(n)]
    first, second = (list(column) for column in zip(*found, strict=True))
    return first, second, [1] * len(found)


def scores_of(first, second, votes, prompts=None, raters=None) -> list[Score]:
    every = list(range(len(votes)))
    return bradley_terry(first, second, votes, prompts or every, raters or every)


def test_it_is_what_was_published():
    found = [one.score for one in scores_of(*votes_of(TEAMS))]
    assert sum(found) == pytest.approx(0, abs=1e-9)
    assert [one - found[-1] for one in found] == pytest.approx(PUBLISHED, abs=6e-4)


def test_of_two_methods_it_is_the_log_odds():
    """And the interval that of logistic regression: 1 / n p (1 - p) between the two, of which each
    score has half.
    """
    first, second = scores_of([0] * 400, [1] * 400, [1] * 300 + [0] * 100)
    assert first.score - second.score == pytest.approx(math.log(3))
    error = math.sqrt(1 / (400 * 0.75 * 0.25)) / 2
    assert (first.high - first.score) / error == pytest.approx(1.96, rel=0.01)


def test_no_difference_is_half_a_vote_for_each():
    one = scores_of([0] * 6, [1] * 6, [1, 1, 0.5, 0.5, 0.5, 0.5])
    other = scores_of([0] * 6, [1] * 6, [1, 1, 1, 1, 0, 0])
    assert [s.score for s in one] == pytest.approx([s.score for s in other])


def test_the_order_of_a_pair_does_not_matter():
    first, second, votes = votes_of(TEAMS)
    turned = scores_of(second, first, [1 - vote for vote in votes])
    for one, other in zip(scores_of(first, second, votes), turned, strict=True):
        assert (one.score, one.low, one.high) == pytest.approx((other.score, other.low, other.high))


def test_true_scores_lie_in_the_intervals():
    """Where raters have tastes of their own, so that their votes are no independent ones."""
    truth, covered = np.array([-0.6, 0.1, 0.5]), 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        tastes = random.normal(0, 0.8, (12, 3))
        one, other = np.array([[0, 1], [0, 2], [1, 2]])[random.integers(0, 3, 480)].T
        rater, prompt = np.repeat(np.arange(12), 40), random.integers(0, 40, 480)
        scores = truth + tastes
        difference = scores[rater, one] - scores[rater, other]
        votes = random.random(480) < 1 / (1 + np.exp(-difference))
        found = bradley_terry(one, other, votes, prompt, rater)
        covered += sum(s.low <= t <= s.high for s, t in zip(found, truth, strict=True))
    assert covered >= 0.92 * 180


@pytest.mark.parametrize(
    "wins",
    [
        [[0, 3, 3], [0, 0, 2], [0, 2, 0]],  # the first always wins
        [[0, 0], [0, 0]],
        [[0, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 2], [0, 0, 2, 0]],  # two groups that never met
    ],
)
def test_what_the_votes_do_not_determine_is_nan(wins):
    votes = [(i, j) for i, row in enumerate(wins) for j, n in enumerate(row) for _ in range(n)]
    first, second = [i for i, _ in votes], [j for _, j in votes]
    for one in scores_of(first, second, [1] * len(votes)):
        assert math.isnan(one.score)
        assert (one.low, one.high) == (-math.inf, math.inf)


def test_one_rater_says_nothing_of_others():
    found = scores_of([0, 0, 0], [1, 1, 1], [1, 1, 0], raters=[7, 7, 7])
    assert found[0].score == pytest.approx(math.log(2) / 2)
    assert (found[0].low, found[0].high) == (-math.inf, math.inf)


def test_bad_values_are_refused():
    with pytest.raises(BadValueError, match="compares a method with itself"):
        scores_of([0, 1], [1, 1], [1, 0])
    with pytest.raises(BadValueError, match="whole numbers"):
        scores_of([0.5], [1], [1])
    with pytest.raises(BadValueError, match="from 0 to 1"):
        scores_of([0], [1], [2])
    with pytest.raises(BadValueError, match="differ in their number"):
        bradley_terry([0], [1], [1], ["a", "b"], ["x"])
    with pytest.raises(BadValueError, match="confidence is 2"):
        bradley_terry([0], [1], [1], ["a"], ["x"], confidence=2)
