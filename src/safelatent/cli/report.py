"""``safelatent report``: a run's images, charts and tables as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safelatent.cli.options import path
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
) -> None:
    """Write report.html, report.md and table1.csv of a run, finished or not, and print their paths.

    \b
    Examples:
      safelatent report runs/i2p
      safelatent report runs/strong --against runs/weak --out reports/both
    """
    from safelatent.evaluation.report import report_of
    from safelatent.reports.write import write_report
    from safelatent.runs.read import read_run

    found = report_of(read_run(run), None if against is None else read_run(against))
    for file in write_report(found, run if out is None else out):
        typer.echo(printable(file))
