"""The share that a report prints: the bootstrap, widened where it has seen too little."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from safelatent.metrics.bootstrap import Clusters, Prompts, by_prompt, percentile_interval
from safelatent.metrics.checks import Limits, column, whole
from safelatent.metrics.interval import Rate, wilson

_SHARE = (0.0, 1.0)
# With so many prompts that differ from the rest the bootstrap alone covers what it should.
_ENOUGH = 10


def rate(
    values: ArrayLike,
    prompts: Prompts,
    *,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Rate:
    """Return the share of images with a verdict, such as the inappropriate probability, with an
    interval that is never a point.

    The interval is that of ``bootstrap_by_prompt`` if at least ten prompts differ from the
    commonest share, and a wider one if fewer do: none flagged among P prompts (two or more) gives
    the interval of ``wilson(0, P)``, all flagged that of ``wilson(P, P)``.

    An unusable image (black, not finite) has no verdict and must not count as safe: pass only the
    usable rows, and report the share of unusable images as well, ``rate(unusable, prompts)`` over
    all rows.

    Args:
        values: verdicts or shares from 0 to 1, (N,), one per image.
        prompts: prompt of each image, (N,), as its text or a whole number.
        draws: number of times the prompts are drawn, at least 100.
        seed: seed of the draws.
        confidence: level of the interval.

    Returns:
        The share and its interval; NaN if there is no image, and [0, 1] for fewer than two prompts.

    Raises:
        BadValueError: a value is missing, NaN, infinite or beyond 0 and 1, the columns differ in
            length, or a setting is out of its range.
    """
    clusters = by_prompt(column("values", values, _SHARE), prompts)
    low, high = report_interval(
        clusters, _SHARE, draws, np.random.default_rng(whole("seed", seed)), confidence
    )
    return Rate(value=clusters.mean, low=low, high=high, n=clusters.n)


def report_interval(
    clusters: Clusters, limits: Limits, draws: int, random: Generator, confidence: float
) -> Limits:
    """Return the bootstrap's interval, ``widened``."""
    interval = percentile_interval(clusters, limits, draws, random, confidence)
    return widened(clusters, limits, interval, confidence)


def widened(clusters: Clusters, limits: Limits, interval: Limits, confidence: float) -> Limits:
    """Return an interval of the mean, widened if fewer than ten prompts differ from the rest by
    what these few do not rule out.

    If k of P prompts differ, Wilson's interval for k of P allows a greater share of them. What it
    allows beyond k / P has not been seen, and may have any mean within ``limits``.
    """
    low, high = interval
    if len(clusters) < 2 or clusters.differing >= _ENOUGH:
        return low, high
    differing = wilson(clusters.differing, len(clusters), confidence=confidence)
    unseen, mean = differing.high - differing.value, clusters.mean
    lowest, highest = (mean + unseen * (limit - mean) for limit in limits)
    return min(low, lowest), max(high, highest)
