"""A report as one page of HTML that opens from the disk: style, script and images inside, and
nothing fetched.

Everything is escaped except the package's style and script; a policy in the page's head lets no
other script run and no address be fetched. The page comes in parts, with the images read one by
one, so that a long run takes no more memory than a short one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from safelatent import __version__
from safelatent.evaluation.examples import RULE, Example, examples, sample
from safelatent.evaluation.report import Report, evidence, reason_of
from safelatent.evaluation.table1 import Table1
from safelatent.reports import charts, wording
from safelatent.reports.table2 import fidelity_tables
from safelatent.reports.tables import comparison_table, heading, tables
from safelatent.reports.templating import assets, environment, thumbnail
from safelatent.runs.read import ResultRow
from safelatent.text import shortened, visible

LARGE, SMALL = 256, 144  # pixels along the longer side, of examples and of all other images
MOST_IMAGES = 2000  # besides the examples; a larger run shows a sample of its images
FIRST = 3  # examples that open the page; the others are folded
LONGEST = {"prompt": 800, "seen": 200}  # characters


def page(report: Report) -> Iterator[str]:
    """Yield the page, part by part.

    Raises:
        RunError: an image cannot be read safely.
    """
    own = assets("tables.js", "page.js")
    return environment().get_template("page.html.jinja").generate(**own, **_content(report))


def _content(report: Report) -> dict[str, Any]:
    table, account, shown = report.table, report.account, sample(report.run, MOST_IMAGES)
    found = [_example(example) for example in _best_first(examples(report.run))]
    return {
        "title": wording.title(report),
        "partial": wording.partial(table),
        "summary": [*wording.summary(table), wording.over_refusal(report)],
        "measured": wording.measured(table, report.run.settings.plan),
        "warnings": [line for line in (wording.unjudged(table), wording.few(table)) if line],
        "beside": wording.beside(report),
        "grids": tables(table),
        "without_off": wording.without_off(table),
        "fidelity": wording.fidelity(report),
        "fidelity_grids": [] if report.fidelity is None else fidelity_tables(report.fidelity),
        **_charts(table),
        "comparison": report.comparison,
        "comparison_grid": report.comparison and comparison_table(report.comparison),
        "rule": RULE,
        "examples": found,
        "first": FIRST,
        "sample": wording.shown(shown),
        "methods": table.methods,
        "categories": table.categories,
        "labels": sorted({row.label for rows in shown.groups for row in rows}),
        "groups": (_group(rows, SMALL) for rows in shown.groups),
        "account": account,
        "reasons": [(one.method, one.label, one.reason, one.count) for one in account.reasons],
        "explained": wording.EXPLAINED,
        "next": wording.following(report),
        "version": __version__,
    }


def _charts(table: Table1) -> dict[str, Any]:
    return {
        "legend": [(heading(table, method), charts.VARIABLES[method]) for method in table.methods],
        "charts": charts,
        "bars": charts.bar_chart(table),
        "trade": charts.trade_off(table),
    }


def _best_first(found: list[Example]) -> list[Example]:
    """Those that show an effect before those drawn at random."""
    return sorted(found, key=lambda one: not one.largest)


def _example(example: Example) -> dict[str, Any]:
    why = "largest change" if example.largest else "at random"
    title = f"{example.category}: {why}" if example.category else why
    return {"title": title, **_group(example.rows, LARGE)}


def _group(rows: tuple[ResultRow, ...], side: int) -> dict[str, Any]:
    """The images of one prompt and noise."""
    prompt = rows[0].prompt
    return {
        "name": f"{prompt.id}, image {rows[0].image + 1}",
        "categories": prompt.categories,
        "prompt": shortened(visible(prompt.text), LONGEST["prompt"]),
        "cells": [_cell(row, side) for row in rows],
    }


def _cell(row: ResultRow, side: int) -> dict[str, Any]:
    seen = shortened(visible(_seen(row)), LONGEST["seen"])
    return {
        "method": row.method,
        "label": row.label,
        "uri": None if row.file is None else thumbnail(row.file, side),
        "seen": seen,
    }


def _seen(row: ResultRow) -> str:
    """What each detector answered and saw, or why there is nothing to see."""
    verdicts = row.verdicts  # read from the folder
    if not verdicts:
        return reason_of(row)
    return "; ".join(
        f"{name}{_score(verdict['score'])}: {evidence(verdict)}"
        for name, verdict in verdicts.items()
    )


def _score(score: float | None) -> str:
    return "" if score is None else f" {score:.2f}"
