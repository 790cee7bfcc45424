"""The charts of a report, as SVG inside its page. Knows numbers and colours by role; the page's
style says which colour a role has.

matplotlib draws with one stand-in colour a role, and each is then replaced by the page's variable
of that role, so that the same drawing is read on light and on dark paper. Names are put in at the
end too: they are a stranger's text, and never reach matplotlib.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from safelatent.evaluation.table1 import Table1
from safelatent.generation.methods import METHODS
from safelatent.metrics import PairedDifference, Rate
from safelatent.optional import require
from safelatent.reports.grids import heading

WIDTH = (
    440  # units of the drawing; about the pixels of a phone, so that the text stays readable there
)
BAR, GAP = 9, 14
LONGEST = 18  # characters of a category beside its bars
INK, LINE, PAPER = "#0000f0", "#0000f1", "#0000f2"
COLOURS = {method: f"#0000a{n}" for n, method in enumerate(METHODS)}
VARIABLES = {method: f"--{method.replace(' ', '-')}" for method in METHODS}  # of the page's style
ROLES = {
    INK: "--ink",
    LINE: "--line",
    PAPER: "--paper",
    **{COLOURS[method]: VARIABLES[method] for method in METHODS},
}


def charts(table: Table1) -> dict[str, str | None]:
    """The drawings ``bars`` and ``trade_off`` (None without pairs to draw it from), whatever style
    the reader's matplotlib is set to.

    Raises:
        UnsupportedError: matplotlib is not installed.
    """
    own = {
        "svg.fonttype": "none",
        "svg.hashsalt": "safelatent",
    }  # text as text, and the same bytes each time
    with require("matplotlib.style", extra="bench", purpose="the report").context(["default", own]):
        return {"bars": _bar_chart(table), "trade_off": _trade_off(table)}


def _bar_chart(table: Table1) -> str:
    """Inappropriate probability by category and method, with intervals, overall last."""
    names, methods = list(table.entries), table.methods
    group = BAR * len(methods) + GAP
    figure, axes = _canvas(len(names) * group + 40)
    for n, method in enumerate(methods):
        rates = [table.entries[name][method].probability for name in names]
        at = np.arange(len(names)) * group + (n + 0.5) * BAR
        _bars(axes, at, rates, COLOURS[method])
    axes.set(
        xlim=(0, 1),
        ylim=(len(names) * group - GAP / 2, -GAP / 2),
        xlabel="inappropriate probability",
    )
    axes.set_yticks(
        np.arange(len(names)) * group + BAR * len(methods) / 2,
        [_stand_in(n) for n in range(len(names))],
    )
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    figure.subplots_adjust(
        left=0.27, right=0.97, top=1 - 6 / _height(figure), bottom=36 / _height(figure)
    )
    return _svg(figure, names)


def _trade_off(table: Table1) -> str | None:
    """What each method took away from the probability, against how far it moved the image."""
    points = _points(table)
    if not points:
        return None
    figure, axes = _canvas(330)
    axes.axhline(0, color=LINE, linewidth=1)
    axes.plot([0], [0], marker="s", color=COLOURS["off"])
    _label(axes, "off", 0.0, 0.0, above=True)
    for n, (method, x, change) in enumerate(points):
        y = -change.difference
        around = {
            "xerr": _errors(x.value, x.low, x.high),
            "yerr": _errors(y, -change.high, -change.low),
        }
        axes.errorbar([x.value], [y], **around, fmt="o", color=COLOURS[method], elinewidth=1)
        above = n % 2 == 1  # neighbours get their names on different ends of their lines
        _label(
            axes,
            heading(table, method),
            x.value,
            -change.low if above else -change.high,
            above=above,
        )
    axes.set(xlabel="distance to the unguarded image", ylabel="taken away from the probability")
    axes.margins(x=0.12, y=0.12)  # room for the names
    axes.set_xlim(left=-0.05 * axes.get_xlim()[1])
    axes.grid(color=LINE, linewidth=0.6)
    figure.subplots_adjust(left=0.16, right=0.97, top=0.97, bottom=0.14)
    return _svg(figure, [])


def _canvas(height: float) -> tuple[Any, Any]:
    figure = require("matplotlib.figure", extra="bench", purpose="the report").Figure(
        figsize=(WIDTH / 72, height / 72), dpi=72
    )
    axes = figure.subplots()
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(side == "bottom")
        axes.spines[side].set_color(LINE)
    axes.tick_params(colors=INK, labelsize=12)
    axes.xaxis.label.set(color=INK, size=12)
    axes.yaxis.label.set(color=INK, size=12)
    axes.set_axisbelow(True)
    return figure, axes


def _height(figure: Any) -> float:
    return figure.get_figheight() * 72


def _bars(axes: Any, at: np.ndarray, rates: Sequence[Rate], fill: str) -> None:
    known = [n for n, rate in enumerate(rates) if rate.n]
    values = np.array([rates[n].value for n in known])
    axes.barh(at[known], values, height=BAR * 0.86, color=fill)
    for colour, width in (
        (PAPER, 2.4),
        (INK, 1.0),
    ):  # a light edge, so that the line is seen on its bar
        axes.hlines(
            at[known],
            [rates[n].low for n in known],
            [rates[n].high for n in known],
            colors=colour,
            linewidth=width,
        )


def _points(table: Table1) -> list[tuple[str, Rate, PairedDifference]]:
    """Method, distance and difference, where there is one, by distance."""
    known = [
        (method, one.distance, one.difference)
        for method, one in table.overall.items()
        if one.distance and one.difference
    ]
    return sorted(((m, x, y) for m, x, y in known if x.n and y.n), key=lambda point: point[1].value)


def _errors(value: float, low: float, high: float) -> list[list[float]]:
    """How far the interval reaches to either side, as matplotlib takes it."""
    return [[max(0.0, value - low)], [max(0.0, high - value)]]


def _label(axes: Any, name: str, x: float, y: float, *, above: bool) -> None:
    at = {"xytext": (0, 5), "va": "bottom"} if above else {"xytext": (0, -5), "va": "top"}
    axes.annotate(name, (x, y), **at, ha="center", textcoords="offset points", color=INK, size=12)


def _stand_in(n: int) -> str:
    return f"name{n:04d}"


def _svg(figure: Any, names: Sequence[str]) -> str:
    """The drawing, with roles for colours and ``names`` for their stand-ins."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()[out.getvalue().index("<svg") :].replace("xlink:href", "href")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'^<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', text
    )
    text = re.sub(r"<style.*?</style>|font-family: [^;]*; ", "", text)  # the page has its own
    text = re.sub(
        r' id="[a-zA-Z.]+(2d)?_\d+"', "", text
    )  # would stand twice in a page of two drawings
    text = re.sub(
        r"#0000[0-9a-f]{2}",
        lambda found: f"var({ROLES[found[0]]})" if found[0] in ROLES else found[0],
        text,
    )
    return re.sub(r"name(\d{4})", lambda found: escape(_shortened(names[int(found[1])])), text)


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
