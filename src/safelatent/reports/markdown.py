"""A report as Markdown: the same tables and sentences as the page, without images and prompts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

from safelatent.errors import BadValueError
from safelatent.evaluation.report import Report
from safelatent.reports import wording
from safelatent.reports.grid import Box, Grid
from safelatent.reports.table2 import PreferenceRates, fidelity_tables
from safelatent.reports.tables import comparison_table, tables
from safelatent.text import squeezed, visible

Blocks = list[str]


def markdown(report: Report) -> str:
    """Return the whole report."""
    table = report.table
    blocks = [f"# {plain(wording.title(report))}"]
    if partial := wording.partial(table):
        blocks.append(f"**Partial.** {partial}")
    blocks += [plain(wording.measured(table, report.run.settings.plan)), *wording.summary(table)]
    blocks += [plain(wording.over_refusal(report))]
    blocks += [f"⚠ {line}" for line in (wording.unjudged(table), wording.few(table)) if line]
    blocks += ["## Tables", *map(plain, wording.beside(report))]
    for grid in tables(table):
        blocks += grid_blocks(grid)
    blocks += [line for line in [wording.without_off(table)] if line]
    blocks += _fidelity(report) + _comparison(report) + _account(report)
    blocks += [
        "## How to read this",
        "\n".join(f"- **{term}.** {text}" for term, text in wording.EXPLAINED.items()),
    ]
    for words, command in wording.following(report):
        blocks += [words, _code(command)]
    return "\n\n".join(blocks) + "\n"


def table_markdown(
    report: Report, number: str, preferences: Mapping[str, PreferenceRates] | None = None
) -> str:
    """Return the tables of one number alone, "1" or "2", with what has to be said of them.

    Args:
        report: of a run.
        number: of the paper's table.
        preferences: of a study, by method, for Table 2.

    Raises:
        BadValueError: Table 2, and the run's fidelity was not measured.
    """
    if number == "1":
        said, grids = wording.beside(report), tables(report.table)
    else:
        if report.fidelity is None:
            folder = shlex.quote(str(report.run.folder))
            raise BadValueError(
                f"{str(report.run.folder)!r} has no Table 2 yet; run `safelatent bench fidelity"
                f" {folder} --reference FOLDER` first"
            )
        said, grids = wording.fidelity(report), fidelity_tables(report.fidelity, preferences)
    blocks = [block for grid in grids for block in grid_blocks(grid)]
    return "\n\n".join([*blocks, *map(plain, said)]) + "\n"


def _fidelity(report: Report) -> Blocks:
    if report.fidelity is None:
        return []
    blocks = ["## What it costs in pictures", *map(plain, wording.fidelity(report))]
    grids = fidelity_tables(report.fidelity)
    return blocks + [block for grid in grids for block in grid_blocks(grid)]


def grid_blocks(grid: Grid) -> Blocks:
    lines = [(name, [_box(box) for box in boxes]) for name, boxes in (*grid.lines, *grid.foot)]
    return [
        f"### {grid.title}",
        grid.note,
        rows_of(
            (grid.corner, *grid.columns),
            [(plain(name), *texts) for name, texts in lines],
            numbers=True,
        ),
    ]


def _box(box: Box) -> str:
    details = f" ({'; '.join(box.lines)})" if box.lines else ""
    beside = f" *[{', '.join(box.published)}]*" if box.published else ""
    return f"*{box.text}*" if box.quiet else f"{box.text}{details}{beside}"


def _comparison(report: Report) -> Blocks:
    if report.comparison is None:
        return []
    mine, theirs = map(plain, report.comparison.folders)
    rows = [tuple(map(plain, row)) for row in report.comparison.settings]
    differing = rows_of(("setting", "this run", "the other"), rows) if rows else "None."
    blocks = [
        "## Compared with another run",
        f"This run is {mine}, the other is {theirs}.",
        *grid_blocks(comparison_table(report.comparison)),
    ]
    return [*blocks, "### Settings that differ", differing]


def _account(report: Report) -> Blocks:
    account = report.account
    skipped = [(plain(reason), str(count)) for reason, count in account.skipped.items()]
    reasons = [
        (one.method, one.label, plain(one.reason), str(one.count)) for one in account.reasons
    ]
    settings = [(name, plain(value)) for name, value in account.settings]
    heads = ("method", "label", "reason", "images")
    blocks = [
        *("## What was run", rows_of(("setting", "value"), settings)),
        *("### Rows of the prompts that were skipped", rows_of(("reason", "rows"), skipped)),
        *("### Images without a verdict", rows_of(heads, reasons) if reasons else "None."),
    ]
    if account.further:
        blocks.append(f"And {account.further:,} more, for other reasons: see scores.csv.")
    return blocks


def rows_of(
    heads: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, numbers: bool = False
) -> str:
    marks = ["---", *["---:" if numbers else "---"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, marks, *rows])


def _code(text: str) -> str:
    """Fence a command line, with more backticks than it has in a row."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{visible(text)}\n{fence}"


def plain(text: str) -> str:
    """Return a stranger's text as one line that no reader of Markdown takes for markup or a link,
    with hidden characters shown.
    """
    escaped = re.sub(r"([\\`*_{}\[\]<>#|!~&$^])", r"\\\1", visible(squeezed(text)))
    return re.sub(r":(?=//)|(?<=\bwww)\.", lambda found: f"\\{found[0]}", escaped, flags=re.I)
