"""Groups compared: the mean of their shares, and each group against the mean of the others.

G. Y. Zou and A. Donner, Construction of confidence limits about effect measures, Statistics in
Medicine 27 (2008), for intervals of means and differences from those of the shares (MOVER);
R. A. Fisher's exact test; S. Holm, A simple sequentially rejective multiple test procedure,
Scandinavian Journal of Statistics 6 (1979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from safelatent.errors import BadValueError
from safelatent.metrics.checks import column, whole
from safelatent.metrics.interval import Rate, check_ends, wilson

_TIE = 1 + 1e-7  # tables whose probabilities differ by rounding alone are equally likely


@dataclass(frozen=True, kw_only=True)
class GroupContrast:
    """A group's share less the mean of the other groups' shares.

    Attributes:
        difference: NaN if a share is undefined, or there is no other group.
        low, high: the ends of its interval; -1 and 1 if it is undefined.
        p: two-sided p-value of no difference; 1 if it is undefined.
        adjusted: the p-value after Holm's correction for testing every group.

    Raises:
        BadValueError: an end is NaN, or the ends are not in order.
    """

    difference: float
    low: float
    high: float
    p: float
    adjusted: float

    def __post_init__(self) -> None:
        check_ends(self.low, self.high)


def mean_of_groups(successes: Sequence[int], counts: Sequence[int]) -> Rate:
    """Return the unweighted mean of the groups' shares, with its interval for these groups.

    The groups are not a sample of groups: only their images vary. Groups without an image are left
    out; ``n`` is the number of the others.

    Raises:
        BadValueError: the columns differ in length, or a count is not possible.
    """
    return _mean(_shares(successes, counts))


def against_others(successes: Sequence[int], counts: Sequence[int]) -> tuple[GroupContrast, ...]:
    """Return each group's share against the unweighted mean of the others' shares.

    The interval is MOVER's, from Wilson's. The p-value is that of Fisher's exact test of the group
    against the others' images together; their mean is that share if all counts are equal. It is
    exact if the others are alike and conservative if they differ. Holm's correction keeps the
    chance of any false finding over all groups below the level.

    Args:
        successes: flagged images by group, (G,).
        counts: judged images by group, (G,).

    Raises:
        BadValueError: the columns differ in length, or a count is not possible.
    """
    shares = _shares(successes, counts)
    flagged, total = sum(successes), sum(counts)
    known = [_contrast(shares, place) for place in range(len(shares))]
    tests = [
        1.0 if math.isnan(difference) else fisher(k, n, flagged - k, total - n)
        for k, n, (difference, _, _) in zip(successes, counts, known, strict=True)
    ]
    return tuple(
        GroupContrast(difference=difference, low=low, high=high, p=p, adjusted=adjusted)
        for (difference, low, high), p, adjusted in zip(known, tests, holm(tests), strict=True)
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted by Holm's procedure, in the order given.

    Raises:
        BadValueError: a value is missing or not from 0 to 1.
    """
    values = column("p_values", p_values, (0.0, 1.0)).tolist()
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, (len(values) - rank) * values[place])
        adjusted[place] = min(1.0, largest)
    return adjusted


def fisher(first: int, of_first: int, second: int, of_second: int) -> float:
    """Return the two-sided p-value of Fisher's exact test: the probability of all tables with the
    same margins that are at most as likely as the one observed.

    Args:
        first, of_first: successes and images of one group.
        second, of_second: successes and images of the other.

    Raises:
        BadValueError: a count is not possible.
    """
    k, n = _pair(first, of_first)
    m, o = _pair(second, of_second)
    flagged = k + m
    least, most = max(0, flagged - o), min(n, flagged)
    tables = [
        _log_choose(n, i) + _log_choose(o, flagged - i) - _log_choose(n + o, flagged)
        for i in range(least, most + 1)
    ]
    limit = tables[k - least] + math.log(_TIE)
    return min(1.0, math.fsum(math.exp(one) for one in tables if one <= limit))


def _contrast(shares: Sequence[Rate], place: int) -> tuple[float, float, float]:
    own, others = shares[place], _mean([*shares[:place], *shares[place + 1 :]])
    if not own.n or not others.n:
        return math.nan, -1.0, 1.0
    difference = own.value - others.value
    low = difference - math.hypot(own.value - own.low, others.high - others.value)
    high = difference + math.hypot(own.high - own.value, others.value - others.low)
    return difference, max(-1.0, low), min(1.0, high)


def _mean(shares: Sequence[Rate]) -> Rate:
    known = [share for share in shares if share.n]
    if not known:
        return Rate(value=math.nan, low=0.0, high=1.0, n=0)
    value = math.fsum(share.value for share in known) / len(known)
    below = math.hypot(*(share.value - share.low for share in known)) / len(known)
    above = math.hypot(*(share.high - share.value for share in known)) / len(known)
    return Rate(value=value, low=value - below, high=value + above, n=len(known))


def _shares(successes: Sequence[int], counts: Sequence[int]) -> list[Rate]:
    if len(successes) != len(counts):
        raise BadValueError(
            f"there are {len(successes)} numbers of flagged images and {len(counts)} of judged"
            " ones; give one of each per group"
        )
    return [wilson(*_pair(k, n)) for k, n in zip(successes, counts, strict=True)]


def _pair(successes: int, count: int) -> tuple[int, int]:
    k, n = whole("successes", successes), whole("count", count)
    if k > n:
        raise BadValueError(f"successes is {k} of {n} images; there can be at most {n}")
    return k, n


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
