"""The interval of a share of independent yes-or-no values. Knows two counts.

E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927):
the shares ``p`` that ``k`` of ``n`` do not contradict, those with ``|k/n - p| <= z sqrt(p (1 - p) /
n)``.
"""

from __future__ import annotations

import math

from safelatent.errors import BadValueError
from safelatent.metrics.checks import whole
from safelatent.metrics.interval import Rate, normal_quantile


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Rate:
    """The share of ``successes`` among ``n`` with Wilson's score interval; NaN in [0, 1] for ``n``
    = 0.

    It takes the values for independent. Images of one prompt are not, which makes it too narrow
    over images: see ``rate``.

    Raises:
        BadValueError: counts that are not whole, negative or more successes than ``n``; a
            confidence that is not between 0 and 1.
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
