"""A share with its interval, and how wide a level of confidence makes one. Knows numbers alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from statistics import NormalDist  # Python's own

from safelatent.errors import BadValueError


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share, or the mean of another measure, with its interval.

    Attributes:
        value: the share; NaN when there is nothing to take it of (``n`` is 0).
        low, high: the ends of the interval, 0 and 1 when nothing is known of a share.
        n: how many values were counted.

    Raises:
        BadValueError: ends that are NaN or not in order, or a NaN that is not due to ``n`` being 0.
    """

    value: float
    low: float
    high: float
    n: int

    def __post_init__(self) -> None:
        check_ends(self.low, self.high)
        if math.isnan(self.value) != (self.n == 0):
            raise BadValueError(
                f"a rate of {self.value} from {self.n} values makes no sense; it is NaN when there are none, and only then"
            )


def check_ends(low: float, high: float) -> None:
    """
    Raises:
        BadValueError: ends that are NaN or not in order.
    """
    if not low <= high:
        raise BadValueError(
            f"an interval from {low} to {high} makes no sense; its ends must be numbers in order"
        )


def tail(confidence: float) -> float:
    """The share that an interval leaves out at each end: 0.025 for a confidence of 0.95.

    Raises:
        BadValueError: a confidence that is not a number between 0 and 1.
    """
    if isinstance(confidence, bool) or not isinstance(confidence, Real) or not 0 < confidence < 1:
        raise BadValueError(
            f"confidence is {confidence!r}; it must be a number between 0 and 1, for example 0.95"
        )
    return (1 - float(confidence)) / 2


def normal_quantile(confidence: float) -> float:
    """``z``, the half-width of the interval in standard errors: 1.96 for a confidence of 0.95.

    Raises:
        BadValueError: a confidence that is not a number between 0 and 1.
    """
    return -NormalDist().inv_cdf(tail(confidence))
