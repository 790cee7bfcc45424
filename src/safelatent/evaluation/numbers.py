"""Numbers as a reader sees them: rounded, with a dash for what is not known."""

from __future__ import annotations

import math

from safelatent.metrics import ExpectedMaximum, PairedDifference, Rate

UNKNOWN = "–"


def number(value: float, digits: int = 2) -> str:
    """Return ``0.17``; a dash for NaN."""
    return UNKNOWN if math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """Return ``+0.17``, always with a sign unless it is 0; a dash for NaN."""
    if math.isnan(value):
        return UNKNOWN
    rounded = round(value, digits)
    return (
        f"{abs(rounded):.{digits}f}" if rounded == 0 else f"{rounded:+.{digits}f}".replace("-", "−")
    )


def plus_minus(error: float) -> str:
    """Return ``± 0.012``; with a dash for NaN."""
    return f"± {UNKNOWN}" if math.isnan(error) else f"± {error:.2g}"


def percent(share: float) -> str:
    """Return ``14 %``."""
    return f"{share:.0%}".replace("%", " %")


def share_of(count: int, total: int) -> str:
    """Return ``8 (14 %)``; the bare count if there is no total."""
    return f"{count} ({percent(count / total)})" if total else str(count)


def interval(rate: Rate, digits: int = 2) -> str:
    """Return ``0.06 to 0.33``; nothing if there is no value."""
    return f"{rate.low:.{digits}f} to {rate.high:.{digits}f}" if rate.n else ""


def difference_interval(difference: PairedDifference, digits: int = 2) -> str:
    """Return both ends, with their signs; nothing if there are no pairs."""
    ends = (signed(end, digits) for end in (difference.low, difference.high))
    return " to ".join(ends) if difference.n else ""


def maximum(value: ExpectedMaximum, size: int) -> str:
    """Return ``97.1 ± 6.2``.

    Where every draw holds all prompts the deviation is 0 by construction, and left out.
    """
    spread = f" ± {number(value.deviation, 1)}" if value.n > size else ""
    return f"{number(value.mean, 1)}{spread}"


def p_value(p: float) -> str:
    """Return ``0.031``, or ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
