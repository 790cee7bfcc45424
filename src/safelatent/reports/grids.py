"""The tables of one run. Knows its numbers and how they are read; knows no markup."""

from __future__ import annotations

from collections.abc import Callable

from safelatent.evaluation import published
from safelatent.evaluation.entry import SIZE, Entry
from safelatent.evaluation.numbers import (
    counted,
    difference_interval,
    interval,
    maximum,
    number,
    p_value,
    share_of,
    signed,
)
from safelatent.evaluation.table1 import Table1
from safelatent.metrics import OVERALL
from safelatent.reports.grid import Box, Grid, Line, difference_box


def grids(table: Table1) -> list[Grid]:
    """Probability, expected maximum, and, where there is an unguarded image to compare with, the
    differences and the price.
    """
    found = [_probability(table), _maximum(table)]
    if "off" in table.methods and len(table.methods) > 1:
        found += [_difference(table), _price(table)]
    return found


def heading(table: Table1, method: str) -> str:
    """The method, with a mark where it left too many images unjudged."""
    return f"{method} ⚠" if method in table.marks else method


def _lines(table: Table1, box: Callable[[str, str], Box]) -> tuple[tuple[Line, ...], Line]:
    """A line a category, and the one of all prompts; each begins with its number of prompts."""
    rows = [
        (name, (_count(table.prompts[name]), *(box(name, method) for method in table.methods)))
        for name in table.entries
    ]
    return tuple(row for row in rows if row[0] != OVERALL), rows[-1]


def _probability(table: Table1) -> Grid:
    lines, overall = _lines(table, lambda name, method: _share_box(table, name, method))
    here = table.published_here
    lines = tuple((name, (*boxes, *_here(table, name))) for name, boxes in lines)
    foot = [
        (overall[0], (*overall[1], *_here(table, OVERALL))),
        *((name, (*boxes, *_blank(table))) for name, boxes in _counts(table)),
    ]
    return Grid(
        name="probability",
        title="Table 1a. Inappropriate probability",
        note="Share of inappropriate images among the judged ones, with its 95 % interval.",
        columns=(
            "prompts",
            *(heading(table, m) for m in table.methods),
            *([f"{published.MODEL}, these prompts"] if here else []),
        ),
        lines=lines,
        foot=tuple(foot),
    )


def _maximum(table: Table1) -> Grid:
    def box(name: str, method: str) -> Box:
        value = table.entries[name][method].maximum
        known = published.maximum(table.categories, name, method)
        details = (f"of {counted(value.n, 'prompt')}",) if 0 < value.n <= SIZE else ()
        beside = (f"{published.MODEL}: {known[0]:.1f} ± {known[1]:.1f}",) if known else ()
        return Box(value=value.mean, text=maximum(value, SIZE), details=details, published=beside)

    lines, overall = _lines(table, box)
    return Grid(
        name="maximum",
        title="Table 1b. Expected maximum inappropriateness",
        note=f"The greatest percentage of inappropriate images among {SIZE} prompts: mean ± standard deviation of 10,000 draws."
        f" With {SIZE} prompts or fewer it is the greatest of all of them.",
        columns=("prompts", *(heading(table, m) for m in table.methods)),
        lines=lines,
        foot=(overall,),
    )


def _difference(table: Table1) -> Grid:
    lines, overall = _lines(
        table, lambda name, method: difference_box(table.entries[name][method].difference)
    )
    at = table.methods.index("off") + 1
    return Grid(
        name="difference",
        title="Table 1c. Difference to the unguarded images",
        note="Probability less that of the unguarded images of the same prompts and noise, over the pairs of which both images were judged."
        " Below 0 is fewer.",
        columns=("prompts", *(heading(table, m) for m in table.methods if m != "off")),
        lines=tuple((name, boxes[:at] + boxes[at + 1 :]) for name, boxes in lines),
        foot=((overall[0], overall[1][:at] + overall[1][at + 1 :]),),
    )


def _price(table: Table1) -> Grid:
    return Grid(
        name="price",
        title="Table 2. What each method changed, and how far it moved the image",
        note="All prompts together. The distance is the root mean square difference of the pixels to the unguarded image, from 0 to 1.",
        corner="method",
        columns=("difference", "p", "distance", "pairs"),
        lines=tuple(
            (heading(table, method), _price_line(one))
            for method, one in table.overall.items()
            if method != "off"
        ),
    )


def _price_line(one: Entry) -> tuple[Box, ...]:
    difference, distance = one.difference, one.distance
    assert difference is not None
    assert distance is not None
    return (
        Box(
            value=difference.difference,
            text=signed(difference.difference),
            details=(difference_interval(difference),),
        ),
        Box(value=difference.p, text=p_value(difference.p) if difference.n else "–"),
        Box(value=distance.value, text=number(distance.value, 3), details=(interval(distance, 3),)),
        _count(difference.n),
    )


def _share_box(table: Table1, name: str, method: str) -> Box:
    one = table.entries[name][method]
    rate, left = one.probability, one.unusable + one.errors
    details = (interval(rate), f"{left} not judged" if left else "")
    known = published.share(table.categories, name, method)
    beside = (f"{published.MODEL}: {known:.2f}",) if known else ()
    second = ("second hand",) if known and (name, method) in published.SECOND_HAND else ()
    return Box(
        value=rate.value,
        text=number(rate.value),
        details=tuple(filter(None, details)),
        published=beside + second,
    )


def _counts(table: Table1) -> list[Line]:
    """What the shares are of, and what is missing from them."""
    per_method, all_of = table.overall.values(), table.prompts[OVERALL] * table.images
    lines = [
        ("images judged", [share_of(one.judged, one.done) for one in per_method]),
        ("unusable", [share_of(one.unusable, one.done) for one in per_method]),
        ("errors", [share_of(one.errors, one.done) for one in per_method]),
        ("share, worst case", [number(one.worst) for one in per_method]),
    ]
    if table.done < table.planned:
        lines.append(("not done yet", [share_of(all_of - one.done, all_of) for one in per_method]))
    return [(name, (Box(text=""), *(Box(text=text) for text in texts))) for name, texts in lines]


def _count(count: int) -> Box:
    return Box(value=count, text=str(count))


def _here(table: Table1, name: str) -> tuple[Box, ...]:
    found = table.published_here.get(name)
    return (
        (Box(value=found.share, text=number(found.share), quiet=True),) if found else _blank(table)
    )


def _blank(table: Table1) -> tuple[Box, ...]:
    return (Box(text=""),) if table.published_here else ()
