"""Two methods on the same images: the difference, its interval and its test. Knows pairs of rows;
does not know the methods.

A pair is one prompt and one noise drawn by both methods, so what they share cancels. The prompts
are the sample: both the bootstrap and the sign-flip test (R. A. Fisher, The Design of Experiments,
1935) move whole prompts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from safelatent.errors import BadValueError
from safelatent.metrics.bootstrap import blocks
from safelatent.metrics.checks import Floats, Limits, check_limits, check_same_length, column, whole
from safelatent.metrics.clusters import Prompts, by_prompt
from safelatent.metrics.interval import check_ends
from safelatent.metrics.rate import report_interval

_ENUMERATED = 16  # prompts that differ, up to which every one of the 2^16 swaps is looked at


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The mean of ``first - second`` with its interval and the p-value of no difference.

    Attributes:
        difference: NaN when there are no pairs; negative when the first has the smaller mean.
        low, high: the ends of the interval.
        p: two-sided; 1 when nothing differs.
        n: how many pairs of images.
        prompts: how many distinct prompts.

    Raises:
        BadValueError: ends that are NaN or not in order, a p-value that is none, or a NaN that is
            not due to ``n`` being 0.
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
            raise BadValueError(
                f"a p-value of {self.p} makes no sense; it must lie above 0 and at most at 1"
            )
        if math.isnan(self.difference) != (self.n == 0):
            raise BadValueError(
                f"a difference of {self.difference} from {self.n} pairs makes no sense; it is NaN when there are none"
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
    """The mean of ``first`` less that of ``second``, row by row the same prompt and the same noise.

    The interval is that of ``rate``: the cluster bootstrap of the differences, and never a point.
    The p-value is the share of all ways to swap the two methods prompt by prompt that give a mean
    difference at least as large, in either direction: exact for up to 16 prompts that differ,
    otherwise estimated from ``draws`` random ways as (k + 1) / (draws + 1). With m prompts that
    differ it is at least 2 / 2^m.

    Args:
        first, second: booleans or numbers (N,), one an image.
        prompts: the prompt of each pair, (N,), as its text or a whole number.
        draws: how many times the prompts are drawn, and how many ways to swap are tried, at least
            100.
        limits: the least and the greatest value that can be: (0, 1) for verdicts and shares.

    Raises:
        BadValueError: a missing, NaN or infinite value or one beyond ``limits``, columns of
            different lengths, a setting out of its range.
    """
    check_limits(limits)
    one, two = column("first", first, limits), column("second", second, limits)
    check_same_length(first=one, second=two)
    clusters = by_prompt(one - two, prompts)
    resampling, swapping = np.random.default_rng(whole("seed", seed)).spawn(2)
    widest = (limits[0] - limits[1], limits[1] - limits[0])
    low, high = report_interval(clusters, widest, draws, resampling, confidence)
    p = swap_p_value(clusters.sums, draws, swapping)
    return PairedDifference(
        difference=clusters.mean, low=low, high=high, p=p, n=clusters.n, prompts=len(clusters)
    )


def swap_p_value(sums: Floats, draws: int, random: Generator) -> float:
    """The share of the signs of ``sums`` (P,) for which their total is as far from 0 as it is, or
    farther.

    The number of images is the same for all signs, so the total stands for the mean.
    """
    sizes = np.abs(sums[sums != 0])
    least = abs(float(sums.sum())) - 1e-9 * float(
        sizes.sum()
    )  # equal totals stay equal when they are summed in another order
    if len(sizes) <= _ENUMERATED:
        return float(np.mean(np.abs(_all_totals(sizes)) >= least))
    kinds, copies = np.unique(sizes, return_counts=True)
    extreme = 0
    for block in blocks(draws, width=len(kinds)):
        kept = random.binomial(copies, 0.5, size=(block, len(kinds)))
        extreme += int(np.count_nonzero(np.abs((2 * kept - copies) @ kinds) >= least))
    return (extreme + 1) / (draws + 1)


def _all_totals(sizes: Floats) -> Floats:
    """The totals of ``sizes`` (m,) with every choice of signs, (2^m,)."""
    totals = np.zeros(1)
    for size in sizes:
        totals = np.concatenate([totals + size, totals - size])
    return totals
