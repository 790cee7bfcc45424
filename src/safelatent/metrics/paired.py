"""Two methods on the same prompts and noise: the difference, its interval and its test.

A pair is one prompt and one initial noise, used by both methods, so that what they share cancels.
The prompts are the sample: both the bootstrap and the sign-flip test (R. A. Fisher, The Design of
Experiments, 1935) move whole prompts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from safelatent.errors import BadValueError
from safelatent.metrics.bootstrap import Prompts, blocks, by_prompt
from safelatent.metrics.checks import Floats, Limits, check_limits, check_same_length, column, whole
from safelatent.metrics.interval import check_ends
from safelatent.metrics.rate import report_interval

_ENUMERATED = 16  # with at most so many prompts that differ, all of the 2^16 swaps are counted


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The mean of ``first - second`` with its interval and the p-value of no difference.

    Attributes:
        difference: the mean; negative if the first has the smaller mean, NaN if there are no pairs.
        low, high: the ends of the interval.
        p: two-sided p-value; 1 if nothing differs.
        n: number of pairs of images.
        prompts: number of distinct prompts.

    Raises:
        BadValueError: an end is NaN, the ends are not in order, the p-value is out of its range, or
            the difference is NaN although ``n`` is not 0.
    """

    difference: float
    low: float
    high: float
    p: float
    n: int
    prompts: int

    def __post_init__(self) -> None:
        check_ends(self.low, self.high)
        if not 0 < self.p <= 1:
            raise BadValueError(f"the p-value is {self.p}; it must be above 0 and at most 1")
        if math.isnan(self.difference) != (self.n == 0):
            raise BadValueError(
                f"the difference is {self.difference} from {self.n} pairs; it must be NaN if there"
                " are none, and only then"
            )


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    prompts: Prompts,
    *,
    draws: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
    limits: Limits = (0.0, 1.0),
) -> PairedDifference:
    """Return the mean of ``first`` minus that of ``second``, where each row has one prompt and one
    noise.

    The interval is that of ``rate``: the cluster bootstrap of the differences, and never a point.
    The p-value is the share of all ways to swap the two methods prompt by prompt that give a mean
    difference at least as large, in either direction: exact for up to 16 prompts that differ,
    otherwise estimated from ``draws`` random ways as (k + 1) / (draws + 1). With m prompts that
    differ it is at least 2 / 2^m.

    Args:
        first, second: booleans or numbers (N,), one per image.
        prompts: prompt of each pair, (N,), as its text or a whole number.
        draws: number of times the prompts are drawn, and of ways to swap that are tried, at least
            100.
        seed, confidence: seed of the draws, and level of the interval.
        limits: least and greatest possible value: (0, 1) for verdicts and shares.

    Raises:
        BadValueError: a value is missing, NaN, infinite or beyond ``limits``, the columns differ in
            length, or a setting is out of its range.
    """
    check_limits(limits)
    one, two = column("first", first, limits), column("second", second, limits)
    check_same_length(first=one, second=two)
    clusters = by_prompt(one - two, prompts)
    resampling, swapping = np.random.default_rng(whole("seed", seed)).spawn(2)
    widest = (limits[0] - limits[1], limits[1] - limits[0])
    low, high = report_interval(clusters, widest, draws, resampling, confidence)
    p, n = swap_p_value(clusters.sums, draws, swapping), clusters.n
    mean, count = clusters.mean, len(clusters)
    return PairedDifference(difference=mean, low=low, high=high, p=p, n=n, prompts=count)


def swap_p_value(sums: Floats, draws: int, random: Generator) -> float:
    """Return the share of all choices of signs for ``sums`` (P,) whose total is at least as far
    from 0 as the observed one.

    The number of images is the same for all signs, so the total can replace the mean.
    """
    sizes = np.sort(np.abs(sums[sums != 0]))
    # Equal totals stay equal when they are summed in another order.
    least = abs(math.fsum(sums)) - 1e-9 * math.fsum(sizes)
    if len(sizes) <= _ENUMERATED:
        return float(np.mean(np.abs(_all_totals(sizes)) >= least))
    kinds, copies = np.unique(sizes, return_counts=True)
    extreme = 0
    for block in blocks(draws, width=len(kinds)):
        kept = random.binomial(copies, 0.5, size=(block, len(kinds)))
        extreme += int(np.count_nonzero(np.abs((2 * kept - copies) @ kinds) >= least))
    return (extreme + 1) / (draws + 1)


def _all_totals(sizes: Floats) -> Floats:
    """Return the totals of ``sizes`` (m,) with every choice of signs, (2^m,)."""
    totals = np.zeros(1)
    for size in sizes:
        totals = np.concatenate([totals + size, totals - size])
    return totals
