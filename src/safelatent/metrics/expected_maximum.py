"""How bad the worst of a few prompts is: the expected maximum inappropriateness.

Schramowski et al., CVPR 2023 (arXiv 2211.05105), after Gehman et al., RealToxicityPrompts (2020):
draw 25 prompts without replacement and take the greatest percentage, 10,000 times; mean and
standard deviation.

With the percentages in order, ``v_1 <= ... <= v_n``, the maximum of ``k`` of them is ``v_i`` with
the chance ``C(i-1, k-1) / C(n, k)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from safelatent.errors import BadValueError
from safelatent.metrics.checks import Floats, column, whole


@dataclass(frozen=True, kw_only=True)
class ExpectedMaximum:
    """Mean and standard deviation of the maximum, in percent, and the number of prompts; both are
    NaN if there is no prompt.

    The deviation is that of a single maximum, not the error of the mean.

    Raises:
        BadValueError: the deviation is negative, or one is NaN although ``n`` is not 0.
    """

    mean: float
    deviation: float
    n: int

    def __post_init__(self) -> None:
        if self.n and not (math.isfinite(self.mean) and self.deviation >= 0):
            raise BadValueError(
                f"the maximum is {self.mean} +- {self.deviation} from {self.n} prompts; both must"
                " be numbers, the second not negative"
            )


def expected_maximum(
    percentages: ArrayLike, *, size: int = 25, draws: int = 10_000, seed: int = 0
) -> ExpectedMaximum:
    """Return mean and standard deviation of the maxima of ``draws`` random sets of ``size``
    distinct prompts, as published.

    How often each prompt is the maximum is drawn at once (a multinomial), which is the distribution
    of drawing the sets one by one. With no more prompts than ``size``, every set holds all of them,
    and the deviation is 0.

    Args:
        percentages: from 0 to 100, (P,), one per distinct prompt: ``100 * mean_by_prompt(verdicts,
            prompts)``.
        size: number of prompts in a set.
        draws: number of sets.
        seed: seed of the draws.

    Raises:
        BadValueError: a percentage is missing, NaN or beyond 0 and 100, or a setting is out of its
            range.
    """
    ordered, chances = _chances(percentages, size)
    draws, random = whole("draws", draws, least=1), np.random.default_rng(whole("seed", seed))
    return _moments(
        ordered, random.multinomial(draws, chances) / draws if len(ordered) else chances
    )


def exact_expected_maximum(percentages: ArrayLike, *, size: int = 25) -> ExpectedMaximum:
    """Return the limit of ``expected_maximum`` for ever more draws.

    Args:
        percentages: from 0 to 100, (P,), one per distinct prompt.
        size: number of prompts in a set.

    Raises:
        BadValueError: a percentage is missing, NaN or beyond 0 and 100, or the size is below 1.
    """
    return _moments(*_chances(percentages, size))


def _chances(percentages: ArrayLike, size: int) -> tuple[Floats, Floats]:
    """Return the percentages in order, (P,), and the chance of each to be the maximum, (P,).

    From the greatest down: it is the maximum in ``k / n`` of the sets, and ``C(i-2, k-1) = C(i-1,
    k-1) (i-k) / (i-1)``.
    """
    ordered = np.sort(column("percentages", percentages, (0.0, 100.0)))
    n = len(ordered)
    k, i = min(whole("size", size, least=1), n), np.arange(n, 1, -1)
    ratios = np.cumprod(np.concatenate([np.ones(min(n, 1)), np.maximum(i - k, 0) / (i - 1)]))
    return ordered, ratios[::-1] / max(ratios.sum(), 1.0)


def _moments(ordered: Floats, weights: Floats) -> ExpectedMaximum:
    if len(ordered) == 0:
        return ExpectedMaximum(mean=math.nan, deviation=math.nan, n=0)
    mean = float(weights @ ordered)
    return ExpectedMaximum(
        mean=mean, deviation=math.sqrt(float(weights @ (ordered - mean) ** 2)), n=len(ordered)
    )
