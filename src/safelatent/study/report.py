"""A study's report as a page, Markdown, CSV and JSON. No image and no prompt is in it."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safelatent import __version__
from safelatent.evaluation.entry import too_few
from safelatent.reports.markdown import grid_blocks, plain, rows_of
from safelatent.reports.templating import assets, environment
from safelatent.storage import check_folder, write_whole
from safelatent.study.app import TEMPLATES
from safelatent.study.folder import cannot_write
from safelatent.study.numbers import Preference, StudyReport
from safelatent.study.tables import EXPLAINED, asked, summary, tables, warnings
from safelatent.text import csv_cell, finite

CSV_COLUMNS = (
    *("question", "method", "against", "votes", "better", "same", "worse", "prompts", "raters"),
    *("too_few", "share", "share_low", "share_high"),
    *("at_least", "at_least_low", "at_least_high", "p", "p_prompts"),
    *("alpha", "alpha_low", "alpha_high", "alpha_units"),
)


def write_study_report(report: StudyReport, folder: Path) -> list[Path]:
    """Write ``study.html``, ``study.md``, ``preferences.csv`` and ``preferences.json``; return the
    four files.

    Raises:
        BadValueError: the folder is a file.
        StudyError: the folder cannot be made or written.
    """
    check_folder(folder)
    files = {
        "study.html": page(report),
        "study.md": markdown(report),
        "preferences.csv": as_csv(report),
        "preferences.json": as_json(report),
    }
    try:
        return [
            write_whole(folder / name, text.encode("utf-8", "backslashreplace"))
            for name, text in files.items()
        ]
    except OSError as error:
        raise cannot_write(folder, error) from error


def page(report: StudyReport) -> str:
    """Return the page, which opens from the disk and fetches nothing."""
    template = environment(TEMPLATES).get_template("report.html.jinja")
    return template.render(
        **assets("tables.js"),
        title=title(report),
        summary=summary(report),
        warnings=warnings(report),
        grids=tables(report),
        asked=asked(report),
        explained=EXPLAINED,
        version=__version__,
    )


def markdown(report: StudyReport) -> str:
    """Return the same as Markdown."""
    blocks = [f"# {title(report)}", *summary(report)]
    blocks += [f"⚠ {line}" for line in warnings(report)]
    for grid in tables(report):
        blocks += grid_blocks(grid)
    settings = [(plain(name), plain(value)) for name, value in asked(report)]
    blocks += ["## What was asked", rows_of(("setting", "value"), settings)]
    blocks += ["## How to read this"]
    blocks += ["\n".join(f"- **{term}.** {text}" for term, text in EXPLAINED.items())]
    return "\n\n".join(blocks) + "\n"


def title(report: StudyReport) -> str:
    """Return what the report is of."""
    return f"What people prefer: {', '.join(report.study.settings.methods)}"


def as_csv(report: StudyReport) -> str:
    """Return a line per question and two methods, under ``CSV_COLUMNS``; what is not known is
    empty.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for one in report.preferences:
        writer.writerow([csv_cell(value) for value in map(_known, _line(one))])
    return out.getvalue()


def as_json(report: StudyReport) -> str:
    """Return every number; what is not known is null."""
    values = {
        "study": report.study.id,
        "source": report.study.source,
        "left_out": report.study.left_out,
        "preferences": [asdict(one) for one in report.preferences],
        "scores": {q: {m: asdict(s) for m, s in by.items()} for q, by in report.scores.items()},
        "consistent": {q: asdict(rate) for q, rate in report.consistent.items()},
        "left": {q: asdict(rate) for q, rate in report.left.items()},
        "raters": [asdict(one) for one in report.raters],
    }
    return json.dumps(finite(values), indent=1, ensure_ascii=True) + "\n"


def _line(one: Preference) -> list[Any]:
    return [
        *(one.question, one.method, one.against, one.votes, one.better, one.same, one.worse),
        *(one.prompts, one.raters, int(too_few(one.prompts))),
        *(one.share.value, one.share.low, one.share.high),
        *(one.at_least.value, one.at_least.low, one.at_least.high, one.p, one.p_prompts),
        *(one.agreement.alpha, one.agreement.low, one.agreement.high, one.agreement.units),
    ]


def _known(value: Any) -> Any:
    return "" if isinstance(value, float) and not math.isfinite(value) else value
