"""A report as one page of HTML that opens from the disk: style, script and pictures inside, and
nothing fetched.

Knows the template and what it is filled with. Everything is escaped except the package's own style,
script and drawings; a policy in the page's head lets no other script run and no address be asked.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from safelatent import __version__
from safelatent.evaluation.account import evidence, reason_of
from safelatent.evaluation.examples import RULE, Example, examples
from safelatent.evaluation.report import Report
from safelatent.figures.thumbnail import data_uri
from safelatent.optional import require
from safelatent.reports import plots, wording
from safelatent.reports.comparison_grid import comparison_grid
from safelatent.reports.explained import EXPLAINED
from safelatent.reports.grids import grids, heading
from safelatent.runs.read import Row

TEMPLATES = Path(__file__).with_name("templates")


def page(report: Report) -> str:
    """The page.

    Raises:
        UnsupportedError: jinja2 or matplotlib is not installed.
    """
    jinja2 = require("jinja2", extra="bench", purpose="the report")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = require("markupsafe", extra="bench", purpose="the report").Markup
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    drawn = {
        name: None if svg is None else own(svg) for name, svg in plots.charts(report.table).items()
    }
    fixed = {
        "style": own((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        "script": own(script),
        "script_hash": _hash(script),
    }
    return environment.get_template("page.html.jinja").render(**fixed, **drawn, **_content(report))


def _content(report: Report) -> dict[str, Any]:
    table, told = report.table, report.account
    return {
        "title": wording.title(report),
        "partial": wording.partial(table),
        "summary": wording.summary(table),
        "measured": wording.measured(table),
        "unjudged": wording.unjudged(table),
        "beside": wording.beside(report),
        "grids": grids(table),
        "without_off": wording.without_off(table),
        "legend": [(heading(table, method), plots.VARIABLES[method]) for method in table.methods],
        "comparison": report.comparison,
        "comparison_grid": None
        if report.comparison is None
        else comparison_grid(report.comparison),
        "rule": RULE,
        "examples": [_example(example) for example in examples(report.run)],
        "account": told,
        "reasons": [(one.method, one.label, one.reason, one.count) for one in told.reasons],
        "explained": EXPLAINED,
        "next": wording.following(report),
        "version": __version__,
    }


def _example(example: Example) -> dict[str, Any]:
    first = example.rows[0]
    of = f"{example.category}: {example.why}" if example.category else example.why
    return {
        "title": f"{of} ({first.prompt.id}, image {first.image + 1})",
        "prompt": first.prompt.text,
        "seen": [(row.method, _seen(row)) for row in example.rows],
        "cells": [_cell(row) for row in example.rows],
    }


def _cell(row: Row) -> dict[str, Any]:
    return {
        "method": row.method,
        "label": row.label,
        "uri": None if row.file is None else data_uri(row.file),
        "alt": f"{row.method}, {row.label}; {_seen(row)}",
        "scores": ", ".join(
            f"{name} {verdict['score']:.2f}"
            for name, verdict in row.verdicts.items()
            if verdict["score"] is not None
        ),
    }


def _seen(row: Row) -> str:
    """What each detector answered and saw, or why there is nothing to see."""
    if not row.verdicts:
        return reason_of(row)
    return "; ".join(
        f"{name}: {verdict['label']} ({evidence(verdict)})"
        for name, verdict in row.verdicts.items()
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
