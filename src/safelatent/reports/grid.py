"""A table of a report as text in cells, before it is HTML or Markdown."""

from __future__ import annotations

import math
from dataclasses import dataclass

from safelatent.evaluation.entry import Entry, too_few
from safelatent.evaluation.numbers import (
    difference_interval,
    interval,
    number,
    share_of,
    signed,
)
from safelatent.metrics import PairedDifference
from safelatent.text import counted


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images that a cell counts, and how many; an empty filter lets every image pass."""

    text: str
    method: str
    category: str = ""
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Box:
    """One cell.

    Attributes:
        value: sorts the table; NaN comes last.
        text: the number.
        details: its interval and what else belongs to it, one line each.
        few: how many prompts the interval is over, if they are too few; else nothing.
        images: those that the number counts.
        published: the published number for the same prompts, and its source.
        quiet: whether the number is not of this run.
    """

    value: float = math.nan
    text: str
    details: tuple[str, ...] = ()
    few: str = ""
    images: Images | None = None
    published: tuple[str, ...] = ()
    quiet: bool = False

    @property
    def lines(self) -> tuple[str, ...]:
        """All details in words, in the order of the page."""
        counted = self.images.text if self.images and self.images.text != self.text else ""
        return tuple(filter(None, [*self.details, counted, self.few]))


Line = tuple[str, tuple[Box, ...]]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table.

    Attributes:
        name: for links.
        title, note: what it shows and how to read it.
        corner: what its lines are.
        columns: the headings of the other columns.
        lines: the lines that can be sorted.
        foot: the lines that stay below; the first is the total.
    """

    name: str
    title: str
    note: str
    corner: str = "category"
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    foot: tuple[Line, ...] = ()


def few(prompts: int) -> str:
    """Return a mark if an interval is over too few prompts, else nothing."""
    return f"too few: {counted(prompts, 'prompt')}" if too_few(prompts) else ""


def share_box(one: Entry, images: Images | None, published: tuple[str, ...] = ()) -> Box:
    """Return a probability with its interval, its images, and how many have no verdict."""
    left = one.unusable + one.errors
    of = "" if images else f"{one.inappropriate:,} of {counted(one.judged, 'image')}"
    details = (interval(one.probability), of, f"{left:,} not judged" if left else "")
    return Box(
        value=one.probability.value,
        text=number(one.probability.value),
        details=tuple(filter(None, details)),
        few=few(one.prompts),
        images=images if one.judged else None,
        published=published,
    )


def difference_box(difference: PairedDifference | None, images: Images | None = None) -> Box:
    """Return a difference with its interval and its pairs."""
    if difference is None:
        return Box(text="")
    if not difference.n:
        return Box(text=signed(difference.difference), details=("no pairs",))
    pairs = () if images else (counted(difference.n, "pair"),)
    return Box(
        value=difference.difference,
        text=signed(difference.difference),
        details=(difference_interval(difference), *pairs),
        few=few(difference.prompts),
        images=images,
    )


def count_box(count: int) -> Box:
    """Return a number of things."""
    return Box(value=count, text=f"{count:,}")


def part_box(count: int, total: int, images: Images | None = None) -> Box:
    """Return ``8 (14 %)``, with a link to these images if there are any."""
    return Box(text=share_of(count, total), images=images if count else None)
