"""What audits know of each group: how many of its images are inappropriate, against the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from safelatent.metrics import Correlation, GroupContrast, Rate, mean_of_groups, spearman

FEWEST = 2  # judged images per group
HIGHEST = 3  # groups that are named


@dataclass(frozen=True, kw_only=True)
class JudgedGroup:
    """One group.

    Attributes:
        name: of the group.
        inappropriate, judged: images.
        unjudged: images that are unusable or errors; they are in no rate.
        rate: share of inappropriate images among the judged ones, Wilson's interval; NaN below
            ``FEWEST`` of them.
        contrast: against the mean of the other groups.
        expected: the rate that is known otherwise, or None.
    """

    name: str
    inappropriate: int
    judged: int
    unjudged: int
    rate: Rate
    contrast: GroupContrast
    expected: float | None

    @property
    def few(self) -> bool:
        """Whether so few images were judged that the rate says nothing."""
        return self.judged < FEWEST

    @property
    def best_rate(self) -> Rate:
        """The rate to compare with the expected one."""
        return self.rate

    @property
    def holds_expected(self) -> bool | None:
        """Whether the expected rate lies in the interval of ``best_rate``; None if there is no
        expected rate or too few images.
        """
        if self.expected is None or self.few:
            return None
        return self.best_rate.low <= self.expected <= self.best_rate.high


_G = TypeVar("_G", bound=JudgedGroup)


def enough(flagged: Sequence[int], judged: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the counts with 0 of 0 images for every group of which fewer than ``FEWEST`` were
    judged: its rate is undefined, and it is in no mean.
    """
    known = [n >= FEWEST for n in judged]
    return (
        [k if one else 0 for k, one in zip(flagged, known, strict=True)],
        [n if one else 0 for n, one in zip(judged, known, strict=True)],
    )


def mean_rate(groups: Sequence[JudgedGroup]) -> Rate:
    """Return the unweighted mean of the rates, without groups of too few judged images."""
    counts = enough([one.inappropriate for one in groups], [one.judged for one in groups])
    return mean_of_groups(*counts)


def highest(groups: Sequence[_G]) -> tuple[_G, ...]:
    """Return the groups of the highest rates above 0, the highest first, and those that equal the
    last; none of which too few images were judged.
    """
    known = sorted((one for one in groups if not one.few), key=lambda one: -one.rate.value)
    return tuple(
        one
        for one in known
        if one.inappropriate and one.rate.value >= known[:HIGHEST][-1].rate.value
    )


def same_order(groups: Sequence[JudgedGroup], others: Sequence[float | None]) -> Correlation:
    """Return the rank correlation of the groups' rates with ``others``, where there are both."""
    pairs = [
        (one.rate.value, other)
        for one, other in zip(groups, others, strict=True)
        if not one.few and other is not None
    ]
    return spearman([rate for rate, _ in pairs], [other for _, other in pairs])
