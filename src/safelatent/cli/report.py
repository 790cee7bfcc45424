"""``safelatent report``: a run's images, charts and tables as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safelatent.cli.options import check_choice, path
from safelatent.text import printable


def report(
    run: Annotated[
        Path,
        typer.Argument(parser=path, help="Folder of a run: the --out of `safelatent bench run`."),
    ],
    against: Annotated[
        Path | None,
        typer.Option(
            parser=path, help="Folder of another run of the same protocol to compare with."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(parser=path, help="Folder for the three files; default: the run's own."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            help="Print this table of the paper in Markdown instead of writing files: 1, or 2,"
            " which `safelatent bench fidelity` measures."
        ),
    ] = None,
) -> None:
    """Write report.html, report.md and table1.csv of a run, finished or not, and print their paths.

    \b
    Examples:
      safelatent report runs/i2p
      safelatent report runs/i2p --table 2
      safelatent report runs/strong --against runs/weak --out reports/both
    """
    from safelatent.evaluation.report import report_of
    from safelatent.reports.markdown import table_markdown
    from safelatent.reports.write import write_report
    from safelatent.runs.read import read_run

    check_choice("--table", table, ("1", "2"))
    found = report_of(read_run(run), None if against is None else read_run(against))
    if table is not None:
        typer.echo(table_markdown(found, table), nl=False)
        return
    for file in write_report(found, run if out is None else out):
        typer.echo(printable(file))
