"""Shares with their intervals: how wide a level of confidence makes one, Wilson's interval, and the
exact test against one half.

E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927):
the shares ``p`` that ``k`` of ``n`` do not contradict, those with ``|k/n - p| <= z sqrt(p (1 - p) /
n)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from statistics import NormalDist  # Python's own

from safelatent.errors import BadValueError
from safelatent.metrics.checks import whole


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share, or the mean of another measure, with its interval.

    Attributes:
        value: the share; NaN if there are no values (``n`` is 0).
        low, high: the ends of the interval; 0 and 1 if nothing is known of a share.
        n: number of values.

    Raises:
        BadValueError: an end is NaN, the ends are not in order, or the value is NaN although ``n``
            is not 0.
    """

    value: float
    low: float
    high: float
    n: int

    def __post_init__(self) -> None:
        check_ends(self.low, self.high)
        if math.isnan(self.value) != (self.n == 0):
            raise BadValueError(
                f"the rate is {self.value} from {self.n} values; it must be NaN if there are none,"
                " and only then"
            )


def check_ends(low: float, high: float) -> None:
    """Refuse an interval without ends in order.

    Raises:
        BadValueError: an end is NaN, or the ends are not in order.
    """
    if not low <= high:
        raise BadValueError(
            f"the interval is from {low} to {high}; its ends must be numbers in order"
        )


def tail(confidence: float) -> float:
    """Return the share that an interval leaves out at each end: 0.025 for a confidence of 0.95.

    Raises:
        BadValueError: the confidence is not a number between 0 and 1.
    """
    if isinstance(confidence, bool) or not isinstance(confidence, Real) or not 0 < confidence < 1:
        raise BadValueError(
            f"confidence is {confidence!r}; it must be a number between 0 and 1, for example 0.95"
        )
    return (1 - float(confidence)) / 2


def normal_quantile(confidence: float) -> float:
    """Return ``z``, the half-width of the interval in standard errors: 1.96 for a confidence of
    0.95.

    Raises:
        BadValueError: the confidence is not a number between 0 and 1.
    """
    return -NormalDist().inv_cdf(tail(confidence))


def t_quantile(confidence: float, freedom: int) -> float:
    """Return the half-width of the interval in standard errors by Student's t with ``freedom``
    degrees of freedom: 2.78 for a confidence of 0.95 and 4 of them, and 1.96 for infinitely many.

    Raises:
        BadValueError: the confidence is not between 0 and 1, or there is no degree of freedom.
    """
    wanted, freedom = 1 - 2 * tail(confidence), whole("freedom", freedom, least=1)
    low, high = 0.0, math.pi / 2  # of atan(t / sqrt(freedom)), in which the share rises
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_within(middle, freedom) < wanted else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def _t_within(angle: float, freedom: int) -> float:
    """Return the share of Student's t between -t and t for ``angle = atan(t / sqrt(freedom))``.

    M. Zelen and N. C. Severo in Abramowitz and Stegun (1964), 26.7.3 and 26.7.4: finite sums.
    """
    odd, sine, cosine = freedom % 2, math.sin(angle), math.cos(angle)
    term = total = 0.0 if freedom == 1 else cosine**odd
    for k in range(2 + odd, freedom - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Rate:
    """Return the share of ``successes`` among ``n`` with Wilson's score interval; NaN in [0, 1] for
    ``n`` = 0.

    The values are taken as independent. Images of one prompt are not, and over them the interval
    is too narrow: use ``rate``.

    Raises:
        BadValueError: a count is not a whole number or is negative, there are more successes than
            ``n``, or the confidence is not between 0 and 1.
    """
    k, n, z = whole("successes", successes), whole("n", n), normal_quantile(confidence)
    if k > n:
        raise BadValueError(f"successes is {k} of n = {n}; there can be at most n")
    if n == 0:
        return Rate(value=math.nan, low=0.0, high=1.0, n=0)
    middle = (k + z**2 / 2) / (n + z**2)
    half = z * math.sqrt(k * (n - k) / n + z**2 / 4) / (n + z**2)
    # The ends are exactly 0 for none and 1 for all, whatever the rounding.
    low = 0.0 if k == 0 else max(0.0, middle - half)
    high = 1.0 if k == n else min(1.0, middle + half)
    return Rate(value=k / n, low=low, high=high, n=n)


def binomial_p(successes: int, n: int) -> float:
    """Return the exact two-sided p-value of ``successes`` of ``n`` against one half; 1 for ``n`` =
    0.

    The distribution is symmetric, so it is twice the smaller tail. The values are taken as
    independent, which the votes of one rater are not: the p-value is then too small.

    Raises:
        BadValueError: a count is not a whole number or is negative, or there are more successes
            than ``n``.
    """
    k, n = whole("successes", successes), whole("n", n)
    if k > n:
        raise BadValueError(f"successes is {k} of n = {n}; there can be at most n")
    extreme = sum(math.comb(n, i) for i in range(min(k, n - k) + 1))
    return min(1.0, 2 * extreme / 2**n)
