"""How far a mean would move with other prompts: the cluster bootstrap.

The images of one prompt resemble each other, so the prompts are the sample, and more images only
say more about each.

B. Efron, Bootstrap methods: another look at the jackknife, Annals of Statistics 7 (1979), with
whole prompts as what is drawn (Davison and Hinkley, Bootstrap Methods and their Application, 1997,
section 3.8) and the percentile interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from safelatent.errors import BadValueError
from safelatent.metrics.checks import (
    Floats,
    Limits,
    check_limits,
    check_present,
    check_same_length,
    column,
    whole,
)
from safelatent.metrics.interval import Rate, tail

Prompts = Sequence[str | int] | NDArray[Any]

_FEWEST = 100  # draws that an interval is read from
_CELLS = 2**21  # numbers held at once, 16 MB


@dataclass(frozen=True, kw_only=True, eq=False)
class Clusters:
    """Sum (P,) and number (P,) of the values of each of P distinct prompts, in the order in which
    the prompts first occur.
    """

    sums: Floats
    counts: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def n(self) -> int:
        """Number of values of all prompts."""
        return int(self.counts.sum())

    @property
    def means(self) -> Floats:
        """Mean of each prompt, (P,)."""
        return self.sums / self.counts

    @property
    def mean(self) -> float:
        """Mean over all values, in which a prompt weighs as much as it has images; NaN if there are
        none.
        """
        return math.fsum(self.sums) / self.n if self.n else math.nan

    @property
    def differing(self) -> int:
        """Number of prompts that do not have the commonest mean, up to rounding."""
        means = np.sort(self.means)
        steps = np.flatnonzero(np.diff(means) > 1e-12 * np.max(np.abs(means), initial=0.0)) + 1
        return len(self) - int(np.diff(steps, prepend=0, append=len(self)).max())


def by_prompt(values: Floats, prompts: Prompts) -> Clusters:
    """Gather ``values`` (N,) by their prompt (N,). Prompts are the same if they are equal to the
    letter.

    Raises:
        BadValueError: there is not one prompt per value, or a prompt is neither a text nor a whole
            number.
    """
    check_same_length(values=values, prompts=prompts)
    index = prompt_index(prompts)
    counts = np.bincount(index)
    parts: list[list[float]] = [[] for _ in counts]
    places: list[int] = index.tolist()
    for place, value in zip(places, values.tolist(), strict=True):
        parts[place].append(value)
    # Exact sums do not depend on the order of the rows, not even in the last bit, by which
    # prompts of the same sum would count as different.
    return Clusters(sums=np.array([math.fsum(part) for part in parts]), counts=counts)


def prompt_index(prompts: Prompts) -> NDArray[np.intp]:
    """Return the number of each row's prompt (N,), counted from 0 in the order in which the prompts
    first occur.

    Raises:
        BadValueError: a prompt is missing, or neither a text nor a whole number.
    """
    check_present("prompts", prompts)
    # A dictionary, since numpy drops NULs at the end of a text and stores every text as long as
    # the longest.
    places: dict[str | int, int] = {}
    return np.array(
        [places.setdefault(_key(prompt), len(places)) for prompt in prompts], dtype=np.intp
    )


def mean_by_prompt(values: ArrayLike, prompts: Prompts) -> Floats:
    """Return the mean of ``values`` (N,) for each distinct prompt, (P,), in the order in which the
    prompts first occur.

    ``100 * mean_by_prompt(verdicts, prompts)`` are the inappropriate percentages that
    ``expected_maximum`` takes.

    Raises:
        BadValueError: a value is missing, NaN or infinite, or there is not one prompt (a text or a
            whole number) per value.
    """
    return by_prompt(column("values", values), prompts).means


def _key(prompt: object) -> str | int:
    if isinstance(prompt, bool) or not isinstance(prompt, str | Integral):
        raise BadValueError(
            f"the prompts hold {prompt!r}; each must be a text, or a whole number instead of one"
        )
    return prompt if isinstance(prompt, str) else int(prompt)


def bootstrap_by_prompt(
    values: ArrayLike,
    prompts: Prompts,
    *,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    limits: Limits = (0.0, 1.0),
) -> Rate:
    """Return the mean of ``values`` with the interval from drawing the prompts again, each with all
    of its images.

    It does not depend on the order of the rows. In two cases it says little, and a report should
    print ``rate`` instead:

    - No prompt, or one, says nothing about the spread between prompts: the interval is ``limits``.
    - If all prompts have the same mean, for example if no image at all is flagged, the interval is
      a point, which claims far too much; and if only few differ from the rest, it is too narrow.

    Args:
        values: booleans or numbers (N,), one per image.
        prompts: prompt of each image, (N,), as its text or a whole number.
        draws: number of times the prompts are drawn, at least 100, and more for a confidence above
            0.98.
        seed, confidence: seed of the draws, and share of the resampled means in the interval.
        limits: least and greatest possible value: (0, 1) for verdicts and shares, (0, 100) for
            percentages.

    Returns:
        The mean and its interval; NaN and ``limits`` if there is no image.

    Raises:
        BadValueError: a value is missing, NaN, infinite or beyond ``limits``, the columns differ in
            length, or a setting is out of its range.
    """
    check_limits(limits)
    clusters = by_prompt(column("values", values, limits), prompts)
    random = np.random.default_rng(whole("seed", seed))
    low, high = percentile_interval(clusters, limits, draws, random, confidence)
    return Rate(value=clusters.mean, low=low, high=high, n=clusters.n)


def percentile_interval(
    clusters: Clusters, limits: Limits, draws: int, random: Generator, confidence: float
) -> Limits:
    """Return the middle ``confidence`` of the resampled means; ``limits`` with fewer than two
    prompts.
    """
    outside = tail(confidence)
    # At least one draw lies beyond each end.
    draws = whole("draws", draws, least=max(_FEWEST, int(1 / outside)))
    low, high = limits
    if len(clusters) >= 2:
        low, high = np.quantile(resampled_means(clusters, draws, random), [outside, 1 - outside])
    return float(low), float(high)


def resampled_means(clusters: Clusters, draws: int, random: Generator) -> Floats:
    """Return the means (draws,) over as many prompts as there are, drawn with replacement.

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
    """Yield ``draws`` in parts, each short enough to hold ``width`` numbers per draw in memory."""
    most = max(1, _CELLS // width)
    yield from (min(most, draws - start) for start in range(0, draws, most))
