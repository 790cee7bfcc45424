"""``safelatent report``: a run's images, charts and tables as one page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safelatent.cli.options import check_choice, check_place
from safelatent.cli.progress import slow
from safelatent.cli.say import say
from safelatent.errors import BadValueError
from safelatent.text import printable

if TYPE_CHECKING:
    from safelatent.reports.table2 import PreferenceRates
    from safelatent.runs.read import Run


def report(
    run: Annotated[
        Path,
        typer.Argument(help="Report the run in this folder: the --out of `safelatent bench run`."),
    ],
    against: Annotated[
        Path | None,
        typer.Option(help="Compare with the run of the same protocol in this folder."),
    ] = None,
    over_refusal: Annotated[
        Path | None,
        typer.Option(
            help="Take the over-refusal figure from the run of harmless prompts in this folder."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the three files to this folder. Default: the run's own."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            help="Print this table of the paper in Markdown instead of writing files: 1, or 2,"
            " which `safelatent bench fidelity` measures."
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            help="Take the people's columns of Table 2 from the study of the same model in this"
            " folder.",
        ),
    ] = None,
) -> None:
    """Write report.html, report.md and table1.csv of a run, finished or not, and print their paths.

    \b
    Examples:
      safelatent report runs/i2p
      safelatent report runs/i2p --table 2
      safelatent report runs/drawbench --table 2 --study studies/quality
      safelatent report runs/strong --against runs/weak --out reports/both
    """
    from safelatent.evaluation.report import report_of
    from safelatent.reports.markdown import table_markdown
    from safelatent.reports.write import write_report
    from safelatent.runs.read import read_run

    check_choice("--table", table, ("1", "2"))
    if study is not None and table != "2":
        raise BadValueError(f"--study {str(study)!r} is for Table 2; add --table 2")
    target = run if out is None else out
    if table is None and run.is_dir():
        check_place("--out", target, target)
    with slow("reading the run"):
        others = (against, over_refusal)
        read = (None if one is None else read_run(one, details=False) for one in others)
        found = report_of(read_run(run, details=False), *read)
    if table is not None:
        people = None if study is None else _people(study, found.run)
        typer.echo(table_markdown(found, table, people), nl=False)
        return
    with slow("writing the report"):
        files = write_report(found, target)
    for file in files:
        typer.echo(printable(file))
    say(f"next: open {shlex.quote(str(files[0]))} in a browser")


def _people(study: Path, run: Run) -> dict[str, PreferenceRates]:
    from safelatent.study import read_study, table2_columns

    return table2_columns(read_study(study), run)
