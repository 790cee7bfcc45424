"""How far a mean would move with other prompts: the cluster bootstrap. Knows sums and counts by
prompt; does not know what they measure.

B. Efron, Bootstrap methods: another look at the jackknife, Annals of Statistics 7 (1979), with
whole prompts as what is drawn (Davison and Hinkley, Bootstrap Methods and their Application, 1997,
section 3.8) and the percentile interval.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from safelatent.metrics.checks import Floats, Limits, check_limits, column, whole
from safelatent.metrics.clusters import Clusters, Prompts, by_prompt
from safelatent.metrics.interval import Rate, tail

_FEWEST = 100  # draws that an interval is read from
_CELLS = 2**21  # numbers held at once, 16 MB


def bootstrap_by_prompt(
    values: ArrayLike,
    prompts: Prompts,
    *,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    limits: Limits = (0.0, 1.0),
) -> Rate:
    """The mean of ``values``, with the interval that drawing the prompts again, each with all of
    its images, gives.

    It does not depend on the order of the rows. In two cases it says little, and a report should
    print ``rate`` instead:

    - No prompt, or one, tells nothing of the spread between prompts: the interval is ``limits``.
    - Where all prompts have the same mean, as when no image at all is flagged, it is a point, which
      claims far too much; and where only few differ from the rest it is too narrow.

    Args:
        values: booleans or numbers (N,), one an image.
        prompts: the prompt of each, (N,), as its text or a whole number.
        draws: how many times the prompts are drawn, at least 100, and more for a confidence above
            0.98.
        limits: the least and the greatest value that can be: (0, 1) for verdicts and shares, (0,
            100) for percentages.

    Returns:
        The mean is NaN, and the interval ``limits``, for no image.

    Raises:
        BadValueError: a missing, NaN or infinite value or one beyond ``limits``, columns of
            different lengths, a setting out of its range.
    """
    check_limits(limits)
    clusters = by_prompt(column("values", values, limits), prompts)
    low, high = percentile_interval(
        clusters, limits, draws, np.random.default_rng(whole("seed", seed)), confidence
    )
    return Rate(value=clusters.mean, low=low, high=high, n=clusters.n)


def percentile_interval(
    clusters: Clusters, limits: Limits, draws: int, random: Generator, confidence: float
) -> Limits:
    """The middle ``confidence`` of the resampled means; ``limits`` with fewer than two prompts."""
    outside = tail(confidence)
    draws = whole(
        "draws", draws, least=max(_FEWEST, int(1 / outside))
    )  # one at least lies beyond each end
    low, high = limits
    if len(clusters) >= 2:
        low, high = np.quantile(resampled_means(clusters, draws, random), [outside, 1 - outside])
    return float(low), float(high)


def resampled_means(clusters: Clusters, draws: int, random: Generator) -> Floats:
    """Means (draws,) over as many prompts as there are, drawn with replacement.

    To a mean, prompts of the same sum and count are the same, so it suffices to draw how often each
    kind occurs: a multinomial.
    """
    kinds, copies = np.unique(
        np.column_stack([clusters.sums, clusters.counts]), axis=0, return_counts=True
    )
    chances = copies / len(clusters)
    totals = [
        random.multinomial(len(clusters), chances, size=block) @ kinds
        for block in blocks(draws, width=len(kinds))
    ]
    sums, counts = np.concatenate(totals).T
    return sums / counts


def blocks(draws: int, width: int) -> Iterator[int]:
    """``draws`` in parts, none of which is too long to hold ``width`` numbers a draw in memory."""
    most = max(1, _CELLS // width)
    yield from (min(most, draws - start) for start in range(0, draws, most))
