"""One score per method from comparisons of two: Bradley and Terry's model.

R. A. Bradley and M. E. Terry, Rank analysis of incomplete block designs, Biometrika 39 (1952):
``P(i is better than j) = 1 / (1 + exp(s_j - s_i))``. "No difference" is half a vote for each. The
scores sum to 0. They are finite only if no group of methods wins all of its comparisons with the
rest (L. R. Ford, American Mathematical Monthly 64, 1957).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safelatent.errors import BadValueError
from safelatent.metrics.bootstrap import Prompts, prompt_index
from safelatent.metrics.checks import Floats, check_same_length, column
from safelatent.metrics.interval import check_ends, t_quantile, tail
from safelatent.metrics.two_way import two_way_errors

_STEPS = 100
_EXACT = 1e-10  # of the gradient, in votes


@dataclass(frozen=True, kw_only=True)
class Score:
    """A method's score in log-odds with its interval; NaN and infinite ends if it is undefined.

    Raises:
        BadValueError: an end is NaN, or the ends are not in order.
    """

    score: float
    low: float
    high: float

    def __post_init__(self) -> None:
        check_ends(self.low, self.high)


def bradley_terry(
    first: ArrayLike,
    second: ArrayLike,
    votes: ArrayLike,
    prompts: Prompts,
    raters: Prompts,
    *,
    confidence: float = 0.95,
) -> list[Score]:
    """Return the score of each method, the most likely ones for all votes together, with intervals
    clustered by prompt and by rater (``two_way_errors``).

    Args:
        first, second: numbers of the two methods of each vote, (N,), counted from 0.
        votes: (N,), 1 for the first, 0 for the second, 0.5 for no difference.
        prompts, raters: of each vote, (N,), as texts or whole numbers.
        confidence: level of the intervals.

    Returns:
        One score for each number from 0 to the greatest. All are NaN if the votes do not determine
        them: a method, or a group of them, was never or always preferred to the others.

    Raises:
        BadValueError: a value is missing or beyond its range, a method is compared with itself, or
            the columns differ in length.
    """
    tail(confidence)  # refuses what is no confidence
    outcomes = column("votes", votes, (0.0, 1.0))
    one, other = _methods("first", first), _methods("second", second)
    check_same_length(first=one, second=other, votes=outcomes, prompts=prompts, raters=raters)
    if np.any(one == other):
        raise BadValueError(
            f"row {np.flatnonzero(one == other)[0]} compares a method with itself; leave it out"
        )
    count = int(max(one.max(initial=-1), other.max(initial=-1))) + 1
    if not _determined(one, other, outcomes, count):
        return [Score(score=math.nan, low=-math.inf, high=math.inf)] * count
    design = np.eye(count)[one] - np.eye(count)[other]
    scores, inverse = _most_likely(design, outcomes)
    residuals = outcomes - _chance(design @ scores)
    influences = (design * residuals[:, None]) @ inverse
    fewest = min(int(prompt_index(names).max()) + 1 for names in (prompts, raters))
    halves = (
        t_quantile(confidence, fewest - 1) * two_way_errors(influences, prompts, raters)
        if fewest > 1
        else np.full(count, math.inf)
    )
    ends = zip(scores.tolist(), halves.tolist(), strict=True)
    return [Score(score=s, low=s - half, high=s + half) for s, half in ends]


def _methods(name: str, values: ArrayLike) -> NDArray[np.intp]:
    numbers = column(name, values, (0, 1000))
    if np.any(numbers % 1):
        raise BadValueError(f"{name} must hold whole numbers, one method each")
    return numbers.astype(np.intp)


def _determined(one: NDArray[np.intp], other: NDArray[np.intp], votes: Floats, count: int) -> bool:
    """Return whether every method was preferred to every other by a chain of votes."""
    beats = np.eye(count, dtype=np.int64)
    beats[one[votes > 0], other[votes > 0]] = 1
    beats[other[votes < 1], one[votes < 1]] = 1
    reached = np.linalg.matrix_power(beats.astype(np.float64), max(count - 1, 1))
    return count > 0 and bool(np.all(reached > 0))


def _most_likely(design: Floats, votes: Floats) -> tuple[Floats, Floats]:
    """Return the scores (K,) by Newton's method, and the inverse (K, K) of the information."""
    scores = np.zeros(design.shape[1])
    inverse: Floats = np.zeros((len(scores), len(scores)))
    for _ in range(_STEPS):
        chance = _chance(design @ scores)
        gradient = design.T @ (votes - chance)
        # Adding one number to all scores changes nothing: the pseudo-inverse keeps their sum 0.
        information: Floats = design.T @ (design * (chance * (1 - chance))[:, None])
        inverse = np.asarray(np.linalg.pinv(information), dtype=np.float64)
        if np.max(np.abs(gradient)) < _EXACT * len(votes):
            break
        step = inverse @ gradient
        scores += step / max(1.0, float(np.max(np.abs(step))))  # far steps overshoot
    return scores, inverse


def _chance(differences: Floats) -> Floats:
    return 1 / (1 + np.exp(-differences))
