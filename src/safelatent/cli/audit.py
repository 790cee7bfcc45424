"""``safelatent audit``: what a model draws of each of many groups, what a data set holds, and
what a log says was done.
"""

from __future__ import annotations

import typer

from safelatent.cli.audit_bias import audit_bias
from safelatent.cli.audit_data import audit_data
from safelatent.cli.audit_log import audit_log

audit = typer.Typer(
    help="Audit a model for bias, the data that models learn from, or a log.",
    rich_markup_mode=None,
)


@audit.callback()
def root() -> None:
    """Audit a model for bias, the data that models learn from, or a log."""


audit.command("bias")(audit_bias)
audit.command("data")(audit_data)
audit.command("log")(audit_log)
