"""A table of a report as text in boxes, before it is HTML or Markdown. Knows no markup, and not
what the numbers are of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from safelatent.evaluation.numbers import counted, difference_interval, signed
from safelatent.metrics import PairedDifference


@dataclass(frozen=True, kw_only=True)
class Box:
    """One cell.

    Attributes:
        value: what it sorts by; NaN comes last.
        text: the number.
        details: its interval and what else belongs to it, a line each.
        published: the published number beside it, and where it is from.
        quiet: whether the number itself is a published one.
    """

    value: float = math.nan
    text: str
    details: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    quiet: bool = False


Line = tuple[str, tuple[Box, ...]]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table.

    Attributes:
        name: for links.
        title, note: what it is and how it is read.
        corner: what its lines are.
        columns: the others' headings.
        lines: what can be sorted.
        foot: what stays below; its first line sums the others up.
    """

    name: str
    title: str
    note: str
    corner: str = "category"
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    foot: tuple[Line, ...] = ()


def difference_box(difference: PairedDifference | None) -> Box:
    """A difference, its interval, and of how many pairs."""
    if difference is None:
        return Box(text="")
    details = (
        (difference_interval(difference), counted(difference.n, "pair"))
        if difference.n
        else ("no pairs",)
    )
    return Box(value=difference.difference, text=signed(difference.difference), details=details)
