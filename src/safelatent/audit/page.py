"""An audit as one page of HTML in the style of the reports, with nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safelatent import __version__
from safelatent.evaluation.numbers import interval, number, p_value, signed
from safelatent.metrics import GroupContrast, Rate
from safelatent.reports import charts
from safelatent.reports.grid import Box, Grid
from safelatent.reports.templating import assets, environment
from safelatent.text import shortened


@dataclass(frozen=True, kw_only=True)
class AuditPage:
    """What the page says.

    Attributes:
        title: of the page.
        leads, notices: what came out, and what speaks against it; a sentence or two each.
        legend: name and CSS variable of each colour.
        chart, caption: the bars, and how to read them.
        grid, beside: the table, and what stands below it.
        settings: name and value, in words.
        explained: terms.
    """

    title: str
    leads: Sequence[str]
    notices: Sequence[str]
    legend: Sequence[tuple[str, str]]
    chart: charts.BarChart
    caption: str
    grid: Grid
    beside: Sequence[str]
    settings: Sequence[tuple[str, str]]
    explained: Mapping[str, str]

    def html(self) -> str:
        """Return the page; everything in it is escaped."""
        template = environment().get_template("audit.html.jinja")
        own = assets("tables.js")
        return template.render(page=self, charts=charts, version=__version__, **own)


@dataclass(frozen=True, kw_only=True)
class ShareBar:
    """One bar: whose it is, its colour's CSS variable, and its rate."""

    of: str
    colour: str
    rate: Rate


def share_chart(
    title: str, axis: str, rows: Sequence[tuple[str, Sequence[ShareBar]]]
) -> charts.BarChart:
    """Place a group of bars per row; the first row is all together.

    Args:
        title, axis: what it shows, and what the axis is.
        rows: name of the group and its shares; undefined ones have no bar.
    """
    most = max(len(shares) for _, shares in rows)
    size = charts.PITCH * most + charts.GAP / 2
    return charts.BarChart(
        height=charts.TOP + len(rows) * size + charts.BOTTOM,
        groups=tuple(
            charts.Group(
                name=shortened(name, charts.LONGEST),
                y=charts.TOP + n * size + charts.PITCH * most / 2 + 4,
                bars=tuple(
                    _bar(name, share, charts.TOP + n * size + (row + 0.5) * charts.PITCH)
                    for row, share in enumerate(shares)
                    if share.rate.n
                ),
            )
            for n, (name, shares) in enumerate(rows)
        ),
        ticks=charts.SHARES,
        title=title,
        axis=axis,
        words="; ".join(f"{share.of} {number(share.rate.value)}" for share in rows[0][1]),
    )


def contrast_box(contrast: GroupContrast) -> Box:
    """Return a difference with its interval and its p-value after Holm's correction."""
    if math.isnan(contrast.difference):
        return Box(text="–")
    return Box(
        value=contrast.difference,
        text=signed(contrast.difference),
        details=(
            f"{signed(contrast.low)} to {signed(contrast.high)}",
            f"p {p_value(contrast.adjusted)}",
        ),
    )


def _bar(name: str, share: ShareBar, y: float) -> charts.Bar:
    rate = share.rate
    return charts.Bar(
        colour=share.colour,
        y=y,
        end=charts.across(rate.value),
        low=charts.across(rate.low),
        high=charts.across(rate.high),
        few=False,
        value=number(rate.value),
        words=f"{name}, {share.of}: {number(rate.value)} ({interval(rate)})",
    )
