"""``safelatent audit``: what a model draws of each of many groups, what a data set holds, and
whether a log says what was done.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from safelatent.cli.audit_bias import audit_bias
from safelatent.cli.audit_data import audit_data
from safelatent.errors import BadValueError
from safelatent.text import counted, printable

audit = typer.Typer(
    help="Audit a model for bias, the data that models learn from, or a log.",
    rich_markup_mode=None,
)
BROKEN, EMPTY = 1, 3


@audit.callback()
def root() -> None:
    """Audit a model for bias, the data that models learn from, or a log."""


def audit_log(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Read this audit log.")],
    head: Annotated[
        str | None,
        typer.Option(
            metavar="HASH",
            help="An entry with this hash must be there: the head that an earlier check printed.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Verify the chain of an audit log, and name its first broken link.

    Exit code: 0 it holds, 1 it does not, 3 it has no entry. Keep the head that is printed in
    another place: against it, a log that was rewritten or cut off shows.

    \b
    Example:
      safelatent audit log audit.jsonl
    """
    if head is not None and not re.fullmatch("[0-9a-f]{64}", head):
        raise BadValueError(
            f"--head is {head!r}; give the 64 hexadecimal digits that an earlier check printed"
        )
    from safelatent.provenance.chain import check_log

    found = check_log(file, head)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "holds": found.holds} | asdict(found)))
    elif not found.holds:
        typer.echo(f"{printable(file)}, line {found.line}: {found.fault}")
    elif found.entries == 0:
        typer.echo(f"{printable(file)} has no entry: nothing was logged, or all of it was removed")
    else:
        lines = counted(found.entries, "line")
        typer.echo(f"{printable(file)}: every link holds, {lines}; head {found.head}")
    if not found.holds:
        raise typer.Exit(BROKEN)
    if found.entries == 0:
        raise typer.Exit(EMPTY)


audit.command("bias")(audit_bias)
audit.command("data")(audit_data)
audit.command("log")(audit_log)
