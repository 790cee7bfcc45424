"""Whether two measures rise together: Spearman's rank correlation with an interval.

D. G. Bonett and T. A. Wright, Sample size requirements for estimating Pearson, Kendall and Spearman
correlations, Psychometrika 65 (2000): ``atanh(rho)`` has about the standard error ``sqrt((1 + rho^2
/ 2) / (n - 3))``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from safelatent.metrics.checks import Floats, check_same_length, column
from safelatent.metrics.interval import check_ends, normal_quantile


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """A correlation ``rho`` with its interval and the number of pairs; NaN in [-1, 1] if it is
    undefined.

    Raises:
        BadValueError: an end is NaN, or the ends are not in order.
    """

    rho: float
    low: float
    high: float
    n: int

    def __post_init__(self) -> None:
        check_ends(self.low, self.high)


def spearman(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95) -> Correlation:
    """Return Spearman's rank correlation of ``x`` (N,) and ``y`` (N,), with middle ranks for ties
    and an interval by Fisher's z.

    With fewer than four pairs, or if a side does not vary, it is NaN in [-1, 1]. A perfect order
    counts as known to half the step ``12 / (n (n^2 - 1))`` between two possible values of ``rho``,
    so that its interval is not a point.

    Raises:
        BadValueError: a value is missing, NaN or infinite, the columns differ in length, or the
            confidence is not between 0 and 1.
    """
    a, b, z = column("x", x), column("y", y), normal_quantile(confidence)
    check_same_length(x=a, y=b)
    n = len(a)
    if n < 4 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return Correlation(rho=math.nan, low=-1.0, high=1.0, n=n)
    rho = _rank_correlation(a, b)
    most = 1 - 6 / (n * (n**2 - 1))
    centre = math.atanh(min(max(rho, -most), most))
    error = math.sqrt((1 + rho**2 / 2) / (n - 3))
    return Correlation(
        rho=rho,
        low=min(rho, math.tanh(centre - z * error)),
        high=max(rho, math.tanh(centre + z * error)),
        n=n,
    )


def _rank_correlation(a: Floats, b: Floats) -> float:
    x, y = (ranks - ranks.mean() for ranks in (_ranks(a), _ranks(b)))
    rho = float(x @ y / math.sqrt((x @ x) * (y @ y)))
    return min(max(rho, -1.0), 1.0)


def _ranks(values: Floats) -> Floats:
    """Return ranks from 1; equal values share the middle of theirs."""
    _, kind, copies = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(copies) - (copies - 1) / 2)[kind]
