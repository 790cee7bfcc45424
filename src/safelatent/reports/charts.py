"""The charts of a report as geometry: where each bar, point and word stands.

The template ``charts.jinja`` draws them as SVG in the colours of the page's style, so that the same
drawing is readable on light and on dark paper. Lengths are units of the drawing, about the pixels
of a phone, so that the text stays readable there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from safelatent.evaluation.entry import Entry, too_few
from safelatent.evaluation.numbers import interval, number, signed
from safelatent.evaluation.table1 import Table1
from safelatent.generation.methods import ALL_METHODS
from safelatent.metrics import OVERALL, PairedDifference, Rate
from safelatent.reports.tables import heading
from safelatent.text import counted, shortened

WIDTH = 440
LEFT, RIGHT = 124, 398  # of the bars; the categories stand to the left, the values to the right
PITCH, GAP, TOP, BOTTOM = 13, 14, 8, 36
MOST = 12  # categories in the bar chart, those of most prompts
LONGEST = 18  # characters of a category beside its bars
HEIGHT = 320  # of the trade-off, with its plot from SIDE to WIDTH - MARGIN
SIDE, MARGIN = 66, 16
LETTER = 6.6  # width of a letter, about
# of the page's style
VARIABLES = {method: f"--{method.replace(' ', '-')}" for method in ALL_METHODS}


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A line of the grid and its number."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One method's share: a bar from ``LEFT`` to ``end`` and its interval from ``low`` to ``high``.

    Attributes:
        y: its middle.
        few: whether the interval is over too few prompts.
        value, words: the number beside it, and all of it for a pointer or a screen reader.
    """

    colour: str
    y: float
    end: float
    low: float
    high: float
    few: bool
    value: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """The bars of a category."""

    name: str
    y: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, kw_only=True)
class BarChart:
    """Shares from 0 to 1 by group and method, all together first.

    Attributes:
        left_out: how many groups have no bars, since there are too many.
        title, axis: what it shows, and what the axis is.
        words: the first group's numbers, for a screen reader.
    """

    height: float
    groups: tuple[Group, ...]
    ticks: tuple[Tick, ...]
    left_out: int = 0
    title: str
    axis: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Point:
    """One method: its place, the ends of its intervals, and where its name stands."""

    colour: str
    name: str
    x: float
    y: float
    across: tuple[float, float]
    down: tuple[float, float]
    words: str
    label: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    """What each method took away from the probability, by how far it moved the image.

    Attributes:
        zero: height of "took nothing away".
    """

    points: tuple[Point, ...]
    across: tuple[Tick, ...]
    down: tuple[Tick, ...]
    zero: float
    words: str


def bar_chart(table: Table1) -> BarChart:
    """Place the bars of all prompts and of at most ``MOST`` categories."""
    largest = sorted(table.categories, key=lambda name: -table.prompts[name])[:MOST]
    names = [OVERALL, *(name for name in table.categories if name in largest)]
    size = PITCH * len(table.methods) + GAP
    groups = tuple(_group(table, name, TOP + n * size) for n, name in enumerate(names))
    shares = ", ".join(f"{m} {number(e.probability.value)}" for m, e in table.overall.items())
    return BarChart(
        height=TOP + len(names) * size + BOTTOM - GAP,
        groups=groups,
        ticks=SHARES,
        title="Inappropriate probability by category and method",
        axis="inappropriate probability",
        left_out=len(table.categories) - len(names) + 1,
        words=f"All prompts: {shares}.",
    )


def trade_off(table: Table1) -> TradeOff | None:
    """Place the methods that can be compared with unguarded images; None if there are none."""
    known = [
        (method, one.distance, one.difference)
        for method, one in table.overall.items()
        if one.distance and one.difference and one.distance.n and one.difference.n
    ]
    if not known:
        return None
    x_ticks = ticks(0.0, max(x.high for _, x, _ in known))
    y_ticks = ticks(
        min(0.0, *(-d.high for _, _, d in known)), max(0.0, *(-d.low for _, _, d in known))
    )
    frame = _Frame(x=(x_ticks[0], x_ticks[-1]), y=(y_ticks[0], y_ticks[-1]))
    points = _labelled([_unguarded(table, frame), *(_point(table, frame, *one) for one in known)])
    return TradeOff(
        points=points,
        across=tuple(Tick(at=frame.across(t), text=f"{t:g}") for t in x_ticks),
        down=tuple(Tick(at=frame.down(t), text=signed(t, 2)) for t in y_ticks),
        zero=frame.down(0.0),
        words=" ".join(f"{point.words}." for point in points),
    )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten that enclose ``low`` and ``high``, at most
    ``most`` of them and at least two.
    """
    width = max(high - low, 1e-6)
    power = 10.0 ** math.floor(math.log10(width / most))
    for step in (power * factor for factor in (1, 2, 5, 10, 20, 50)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            return [n * step for n in range(first, max(last, first + 1) + 1)]
    raise AssertionError("a step of fifty powers holds any width")


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """The trade-off's plot: its range in numbers, and where a number stands."""

    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, value: float) -> float:
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return round(SIDE + share * (WIDTH - MARGIN - SIDE), 1)

    def down(self, value: float) -> float:
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return round(HEIGHT - BOTTOM - 8 - share * (HEIGHT - BOTTOM - 8 - 2 * TOP), 1)


def across(share: float) -> float:
    """Return where a share stands between ``LEFT`` and ``RIGHT``."""
    return round(LEFT + share * (RIGHT - LEFT), 1)


SHARES = tuple(Tick(at=across(t / 5), text=f"{t / 5:.1f}") for t in range(6))


def _group(table: Table1, name: str, top: float) -> Group:
    bars = [
        _bar(name, heading(table, method), VARIABLES[method], top + (n + 0.5) * PITCH, one)
        for n, (method, one) in enumerate(table.entries[name].items())
        if one.judged
    ]
    return Group(
        name=shortened(name, LONGEST), y=top + PITCH * len(table.methods) / 2 + 4, bars=tuple(bars)
    )


def _bar(category: str, name: str, colour: str, y: float, one: Entry) -> Bar:
    rate = one.probability
    prompts = counted(one.prompts, "prompt")
    return Bar(
        colour=colour,
        y=y,
        end=across(rate.value),
        low=across(rate.low),
        high=across(rate.high),
        few=too_few(one.prompts),
        value=number(rate.value),
        words=f"{category}, {name}: {number(rate.value)} ({interval(rate)}), {prompts}",
    )


def _point(
    table: Table1, frame: _Frame, method: str, distance: Rate, change: PairedDifference
) -> Point:
    moved, less = number(distance.value, 3), signed(-change.difference)
    return Point(
        colour=VARIABLES[method],
        name=heading(table, method),
        x=frame.across(distance.value),
        y=frame.down(-change.difference),
        across=(frame.across(distance.low), frame.across(distance.high)),
        down=(frame.down(-change.low), frame.down(-change.high)),
        words=f"{method}: {less} taken away, distance {moved}",
    )


def _unguarded(table: Table1, frame: _Frame) -> Point:
    x, y = frame.across(0.0), frame.down(0.0)
    name = heading(table, "off")
    words = "off: the unguarded images"
    return Point(
        colour=VARIABLES["off"], name=name, x=x, y=y, across=(x, x), down=(y, y), words=words
    )


def _labelled(points: Sequence[Point]) -> tuple[Point, ...]:
    """Put each name where it lies on no other name and no point, if there is such a place."""
    found: list[Point] = []
    taken = [_box(5, (point.x, point.y + 4)) for point in points]
    for point in points:
        places = _places(point)
        free = [at for at in places if _is_free(_box(len(point.name) * LETTER, at), taken)]
        label = (free or places)[0]
        taken.append(_box(len(point.name) * LETTER, label))
        found.append(replace(point, label=label))
    return tuple(found)


def _places(point: Point) -> list[tuple[float, float]]:
    """Return where a name may stand, best first: above and below its interval, beside its point."""
    half = len(point.name) * LETTER / 2
    inside = min(max(point.x, SIDE + half), WIDTH - half)
    steps = [13 * n for n in range(4)]
    above = [(inside, min(point.down) - 5 - step) for step in steps]
    below = [(inside, max(point.down) + 13 + step) for step in steps]
    aside = [
        (point.x + sign * (half + 8), point.y - 6 + 20 * low) for sign in (1, -1) for low in (0, 1)
    ]
    return [above[0], below[0], *aside, *above[1:], *below[1:]]


Place = tuple[float, float, float, float]  # left, top, right, bottom


def _box(width: float, middle: tuple[float, float]) -> Place:
    x, y = middle
    return x - width / 2, y - 10, x + width / 2, y + 3


def _is_free(box: Place, taken: Sequence[Place]) -> bool:
    inside = box[0] >= SIDE and box[2] <= WIDTH and box[1] >= 0 and box[3] <= HEIGHT - BOTTOM
    return inside and all(
        box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1] or other[3] <= box[1]
        for other in taken
    )
