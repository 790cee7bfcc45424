"""Shares over votes that share prompts and raters: intervals that hold for other prompts and for
other raters.

A. C. Cameron, J. B. Gelbach and D. L. Miller, Robust inference with multiway clustering, Journal of
Business & Economic Statistics 29 (2011): the variance for clusters of one kind, plus that for the
other kind, minus that for what both have in common; Student's t with one degree of freedom less
than the smaller number of clusters.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safelatent.metrics.bootstrap import Prompts, by_prompt, prompt_index
from safelatent.metrics.checks import Floats, check_same_length, column
from safelatent.metrics.interval import Rate, t_quantile, tail
from safelatent.metrics.rate import widened

_SHARE = (0.0, 1.0)


def two_way_rate(
    values: ArrayLike, prompts: Prompts, raters: Prompts, *, confidence: float = 0.95
) -> Rate:
    """Return the mean of ``values`` with an interval that is clustered by prompt and by rater.

    It is never a point: where fewer than ten prompts or raters differ from the commonest share, it
    is widened by what these few do not rule out, as the interval of ``rate`` is.

    Args:
        values: votes or shares from 0 to 1, (N,), one per vote.
        prompts, raters: prompt and rater of each vote, (N,), as texts or whole numbers.
        confidence: level of the interval.

    Returns:
        The share and its interval; NaN if there is no vote, and [0, 1] for one prompt or one rater.

    Raises:
        BadValueError: a value is missing, NaN, infinite or beyond 0 and 1, the columns differ in
            length, or the confidence is not between 0 and 1.
    """
    tail(confidence)  # refuses what is no confidence
    votes = column("values", values, _SHARE)
    check_same_length(values=votes, prompts=prompts, raters=raters)
    both = by_prompt(votes, prompts), by_prompt(votes, raters)
    if min(map(len, both)) < 2:
        return Rate(value=both[0].mean, low=0.0, high=1.0, n=len(votes))
    mean = both[0].mean
    error = two_way_errors(((votes - mean) / len(votes))[:, None], prompts, raters)[0]
    half = t_quantile(confidence, min(map(len, both)) - 1) * float(error)
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    for clusters in both:
        low, high = widened(clusters, _SHARE, (low, high), confidence)
    return Rate(value=mean, low=low, high=high, n=len(votes))


def two_way_errors(influences: Floats, prompts: Prompts, raters: Prompts) -> Floats:
    """Return the standard errors (K,) of K estimates.

    Args:
        influences: (N, K), what each vote adds to each estimate's deviation from its expectation:
            ``(x - mean) / N`` for a mean.
        prompts, raters: of each vote, (N,).
    """
    one, other = prompt_index(prompts), prompt_index(raters)
    shared = np.unique(np.column_stack([one, other]), axis=0, return_inverse=True)[1].reshape(-1)
    by_one, by_other = _variances(influences, one), _variances(influences, other)
    both = by_one + by_other - _variances(influences, shared)
    # The difference can be smaller than either part, even negative; it is never taken so.
    return np.sqrt(np.maximum(both, np.maximum(by_one, by_other)))


def _variances(influences: Floats, index: NDArray[np.intp]) -> Floats:
    """Return the sums of squares (K,) of the clusters' totals, with the factor G / (G - 1)."""
    count = int(index.max(initial=-1)) + 1
    if count < 2:
        return np.zeros(influences.shape[1]) + math.inf
    totals: Floats = np.zeros((count, influences.shape[1]))
    np.add.at(totals, index, influences)
    variances: Floats = np.einsum("gk,gk->k", totals, totals) * (count / (count - 1))
    return variances
