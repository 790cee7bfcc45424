"""A report as Markdown: the same tables and sentences as the page, without pictures and prompts."""

from __future__ import annotations

import re
from collections.abc import Iterable

from safelatent.evaluation.report import Report
from safelatent.reports import wording
from safelatent.reports.comparison_grid import comparison_grid
from safelatent.reports.explained import EXPLAINED
from safelatent.reports.grid import Box, Grid
from safelatent.reports.grids import grids

Blocks = list[str]


def markdown(report: Report) -> str:
    """The whole report."""
    table, partial = report.table, wording.partial(report.table)
    blocks = [
        f"# {_plain(wording.title(report))}",
        *([f"**Partial.** {partial}"] if partial else []),
    ]
    blocks += [
        wording.measured(table),
        *wording.summary(table),
        *([f"⚠ {unjudged}"] if (unjudged := wording.unjudged(table)) else []),
    ]
    blocks += ["## The numbers", *map(_plain, wording.beside(report))]
    for grid in grids(table):
        blocks += _grid(grid)
    blocks += [line for line in [wording.without_off(table)] if line]
    blocks += _comparison(report) + _account(report)
    blocks += [
        "## How to read this",
        "\n".join(f"- **{term}.** {text}" for term, text in EXPLAINED.items()),
    ]
    for words, command in wording.following(report):
        blocks += [words, f"```\n{command}\n```"]
    return "\n\n".join(blocks) + "\n"


def _grid(grid: Grid) -> Blocks:
    lines = [(name, [_box(box) for box in boxes]) for name, boxes in (*grid.lines, *grid.foot)]
    return [
        f"### {grid.title}",
        grid.note,
        _rows(
            (grid.corner, *grid.columns),
            [(_plain(name), *texts) for name, texts in lines],
            numbers=True,
        ),
    ]


def _box(box: Box) -> str:
    details = f" ({'; '.join(box.details)})" if box.details else ""
    beside = f" *[{', '.join(box.published)}]*" if box.published else ""
    return f"*{box.text}*" if box.quiet else f"{box.text}{details}{beside}"


def _comparison(report: Report) -> Blocks:
    if report.comparison is None:
        return []
    mine, theirs = map(_plain, report.comparison.folders)
    rows = [tuple(map(_plain, row)) for row in report.comparison.settings]
    differing = _rows(("setting", "this run", "the other"), rows) if rows else "None."
    blocks = [
        "## Against another run",
        f"This run is {mine}, the other is {theirs}.",
        *_grid(comparison_grid(report.comparison)),
    ]
    return [*blocks, "### Settings that differ", differing]


def _account(report: Report) -> Blocks:
    told = report.account
    skipped = [(_plain(reason), str(count)) for reason, count in told.skipped.items()]
    reasons = [(one.method, one.label, _plain(one.reason), str(one.count)) for one in told.reasons]
    blocks = [
        "## What was run",
        _rows(("setting", "value"), [(name, _plain(value)) for name, value in told.settings]),
    ]
    blocks += ["### Rows of the prompts that were skipped", _rows(("reason", "rows"), skipped)]
    blocks += [
        "### Images without a verdict",
        _rows(("method", "label", "reason", "images"), reasons) if reasons else "None.",
    ]
    return [
        *blocks,
        *([f"And {told.further} more, for other reasons: see scores.csv."] if told.further else []),
    ]


def _rows(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, numbers: bool = False) -> str:
    marks = ["---", *["---:" if numbers else "---"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, marks, *rows])


def _plain(text: str) -> str:
    """A stranger's text as one line that no reader of Markdown takes for markup."""
    return re.sub(r"([\\`*_{}\[\]<>()#|!~&])", r"\\\1", " ".join(text.split()))
