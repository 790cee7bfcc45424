"""The tables of a report: those of one run in the layout of the paper's Table 1, and the one that
compares two runs.
"""

from __future__ import annotations

from collections.abc import Callable

from safelatent.evaluation import published
from safelatent.evaluation.comparison import Compared, Comparison
from safelatent.evaluation.entry import FEWEST, SIZE, Entry
from safelatent.evaluation.numbers import (
    difference_interval,
    interval,
    maximum,
    number,
    p_value,
    share_of,
    signed,
)
from safelatent.evaluation.table1 import MOST_UNJUDGED, Table1
from safelatent.metrics import OVERALL
from safelatent.reports.grid import (
    Box,
    Grid,
    Images,
    Line,
    count_box,
    difference_box,
    few,
    part_box,
    share_box,
)
from safelatent.text import counted

FEW = f"“Too few”: fewer than {FEWEST} distinct prompts, so the interval says little."


def tables(table: Table1) -> list[Grid]:
    """Return probability and expected maximum, and the differences to the unguarded images and
    their price if there are any.
    """
    found = [_probability(table), _maximum(table)]
    if "off" in table.methods and len(table.methods) > 1:
        found += [_difference(table), _price(table)]
    return found


def heading(table: Table1, method: str) -> str:
    """Return the method, with a mark if too many of its images could not be judged."""
    return f"{method} ⚠" if method in table.marks else method


def comparison_table(comparison: Comparison) -> Grid:
    """Return the differences by category and method, and below them the shares of each run."""
    lines = [(name, _differences(comparison, name)) for name in comparison.categories]
    both = comparison.methods.values()
    return Grid(
        name="comparison",
        title="Table 3. This run minus the other",
        note="Inappropriate probability of this run minus that of the other, over the pairs of the"
        " same prompt, seed and image number that were judged in both. Below 0, this run has fewer."
        " A dash: there is no such pair, and nothing is subtracted. ⚠: too many images of one of"
        f" the runs could not be judged. {FEW}",
        columns=tuple(_compared_heading(method, one) for method, one in comparison.methods.items()),
        lines=tuple(line for line in lines if line[0] != OVERALL),
        foot=(
            lines[-1],
            ("share in this run", tuple(share_box(one.mine, None) for one in both)),
            ("share in the other run", tuple(share_box(one.theirs, None) for one in both)),
        ),
    )


def _compared_heading(method: str, one: Compared) -> str:
    return f"{method} ⚠" if max(one.mine.unjudged, one.theirs.unjudged) > MOST_UNJUDGED else method


def _differences(comparison: Comparison, name: str) -> tuple[Box, ...]:
    found = [one.differences.get(name) for one in comparison.methods.values()]
    return tuple(Box(text="–") if one is None else difference_box(one) for one in found)


def _lines(
    table: Table1, methods: tuple[str, ...], box: Callable[[str, str], Box]
) -> tuple[tuple[Line, ...], Line]:
    """Return a line per category, and the one of all prompts; each begins with its prompts."""
    rows = [
        (name, (count_box(table.prompts[name]), *(box(name, method) for method in methods)))
        for name in table.entries
    ]
    return tuple(row for row in rows if row[0] != OVERALL), rows[-1]


def _headings(table: Table1, methods: tuple[str, ...]) -> tuple[str, ...]:
    return ("prompts", *(heading(table, method) for method in methods))


def _category(name: str) -> str:
    return "" if name == OVERALL else name


def _probability(table: Table1) -> Grid:
    lines, (total, boxes) = _lines(table, table.methods, lambda *at: _share(table, *at))
    foot = [(total, (*boxes, *_from_file(table, OVERALL)))]
    foot += [(name, (*boxes, *_blank(table))) for name, boxes in _counts(table)]
    source = published.MODEL if table.i2p else "the file"
    return Grid(
        name="probability",
        title="Table 1a. Inappropriate probability",
        note="Share of inappropriate images among the judged ones, with its 95 % interval."
        f" The lower, the better. {FEW}",
        columns=(
            *_headings(table, table.methods),
            *([f"{source}, these prompts"] if table.from_file else []),
        ),
        lines=tuple((name, (*boxes, *_from_file(table, name))) for name, boxes in lines),
        foot=tuple(foot),
    )


def _share(table: Table1, name: str, method: str) -> Box:
    one = table.entries[name][method]
    known = table.published_share(name, method)
    beside = (f"{published.MODEL}: {known:.2f}",) if known is not None else ()
    second = ("second hand",) if beside and (name, method) in published.SECOND_HAND else ()
    images = Images(
        text=f"{one.inappropriate:,} of {counted(one.judged, 'image')}",
        method=method,
        category=_category(name),
        label="inappropriate" if one.inappropriate else "",
    )
    return share_box(one, images, beside + second)


def _maximum(table: Table1) -> Grid:
    def box(name: str, method: str) -> Box:
        value = table.entries[name][method].maximum
        known = table.published_maximum(name, method)
        details = (f"of {counted(value.n, 'prompt')}",) if 0 < value.n <= SIZE else ()
        beside = (f"{published.MODEL}: {known[0]:.1f} ± {known[1]:.1f}",) if known else ()
        return Box(value=value.mean, text=maximum(value, SIZE), details=details, published=beside)

    lines, overall = _lines(table, table.methods, box)
    return Grid(
        name="maximum",
        title="Table 1b. Expected maximum inappropriateness",
        note=f"The greatest percentage of inappropriate images among {SIZE} prompts: mean ±"
        f" standard deviation of 10,000 draws. With {SIZE} prompts or fewer it is the greatest of"
        " all of them.",
        columns=_headings(table, table.methods),
        lines=lines,
        foot=(overall,),
    )


def _difference(table: Table1) -> Grid:
    guarded = tuple(method for method in table.methods if method != "off")
    lines, overall = _lines(table, guarded, lambda *at: _difference_cell(table, *at))
    return Grid(
        name="difference",
        title="Table 1c. Difference to the unguarded images",
        note="Probability minus that of the unguarded images of the same prompts and noise, over"
        f" the pairs of which both images were judged. Below 0 is fewer. {FEW}",
        columns=_headings(table, guarded),
        lines=lines,
        foot=(overall,),
    )


def _difference_cell(table: Table1, name: str, method: str) -> Box:
    difference = table.entries[name][method].difference
    pairs = counted(difference.n, "pair") if difference else ""
    return difference_box(difference, Images(text=pairs, method=method, category=_category(name)))


def _price(table: Table1) -> Grid:
    return Grid(
        name="price",
        title="Table 1d. What each method changed, and how far it moved the image",
        note="All prompts together. The distance is the root mean square difference of the pixels"
        f" to the unguarded image, from 0 to 1. {FEW}",
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
            details=tuple(filter(None, [difference_interval(difference)])),
            few=few(difference.prompts),
        ),
        Box(value=difference.p, text=p_value(difference.p) if difference.n else "–"),
        Box(
            value=distance.value,
            text=number(distance.value, 3),
            details=tuple(filter(None, [interval(distance, 3)])),
        ),
        count_box(difference.n),
    )


def _counts(table: Table1) -> list[Line]:
    """Return what the shares are of, and what is missing from them."""
    of_method = table.overall.items()
    blank = Box(text="")

    def line(name: str, boxes: list[Box]) -> Line:
        return name, (blank, *boxes)

    def linked(count: int, one: Entry, method: str, label: str) -> Box:
        text = share_of(count, one.done)
        return part_box(count, one.done, Images(text=text, method=method, label=label))

    lines = [
        line("images judged", [Box(text=share_of(one.judged, one.done)) for _, one in of_method]),
        line("unusable", [linked(one.unusable, one, m, "unusable") for m, one in of_method]),
        line("errors", [linked(one.errors, one, m, "error") for m, one in of_method]),
        line("share, worst case", [Box(text=number(one.worst)) for _, one in of_method]),
    ]
    if table.done < table.planned:
        planned = table.prompts[OVERALL] * table.images
        left = [Box(text=share_of(planned - one.done, planned)) for _, one in of_method]
        lines.append(line("not done yet", left))
    return lines


def _from_file(table: Table1, name: str) -> tuple[Box, ...]:
    found = table.from_file.get(name)
    if found is None:
        return _blank(table)
    return (Box(value=found.share, text=number(found.share), quiet=True),)


def _blank(table: Table1) -> tuple[Box, ...]:
    return (Box(text=""),) if table.from_file else ()
