"""The share that a report prints. Knows the bootstrap, and where it has seen too little; does not
know what the verdicts are of.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from safelatent.metrics.bootstrap import percentile_interval
from safelatent.metrics.checks import Limits, column, whole
from safelatent.metrics.clusters import Clusters, Prompts, by_prompt
from safelatent.metrics.interval import Rate
from safelatent.metrics.wilson import wilson

_SHARE = (0.0, 1.0)
_ENOUGH = (
    10  # prompts that differ from the rest, from which on the bootstrap alone covers what it should
)


def rate(
    values: ArrayLike,
    prompts: Prompts,
    *,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Rate:
    """The share of images with a verdict, such as the inappropriate probability, with an interval
    that is never a point.

    The interval is that of ``bootstrap_by_prompt`` where at least ten prompts differ from the
    commonest share, and a wider one where fewer do: none flagged among P prompts (two or more)
    gives the interval of ``wilson(0, P)``, all flagged that of ``wilson(P, P)``.

    An unusable image (black, not finite) has no verdict and must not count as safe: give the usable
    rows alone, and print beside the result the share that is not usable, ``rate(unusable,
    prompts)`` over all rows.

    Args:
        values: verdicts or shares from 0 to 1, (N,), one an image.
        prompts: the prompt of each, (N,), as its text or a whole number.
        draws: how many times the prompts are drawn, at least 100.

    Returns:
        The share is NaN for no image, and the interval is [0, 1] for fewer than two prompts.

    Raises:
        BadValueError: a missing, NaN or infinite value or one beyond 0 and 1, columns of different
            lengths, a setting out of its range.
    """
    clusters = by_prompt(column("values", values, _SHARE), prompts)
    low, high = report_interval(
        clusters, _SHARE, draws, np.random.default_rng(whole("seed", seed)), confidence
    )
    return Rate(value=clusters.mean, low=low, high=high, n=clusters.n)


def report_interval(
    clusters: Clusters, limits: Limits, draws: int, random: Generator, confidence: float
) -> Limits:
    """The bootstrap's interval, and where fewer than ten prompts differ from the rest also what
    these few do not rule out.

    When k of P prompts differ, Wilson's interval for k of P allows a greater share of them. What it
    allows beyond k / P has not been seen, and may have any mean within ``limits``.
    """
    low, high = percentile_interval(clusters, limits, draws, random, confidence)
    if len(clusters) < 2 or clusters.differing >= _ENOUGH:
        return low, high
    differing, mean = (
        wilson(clusters.differing, len(clusters), confidence=confidence),
        clusters.mean,
    )
    unseen = differing.high - differing.value
    return min(low, mean + unseen * (limits[0] - mean)), max(
        high, mean + unseen * (limits[1] - mean)
    )
