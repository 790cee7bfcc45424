"""``safelatent audit``: what a model draws of each of many groups, and what a data set holds."""

from __future__ import annotations

import typer

from safelatent.cli.audit_bias import audit_bias
from safelatent.cli.audit_data import audit_data

audit = typer.Typer(
    help="Audit a model for bias, or the data that models learn from.", rich_markup_mode=None
)


@audit.callback()
def root() -> None:
    """Audit a model for bias, or the data that models learn from."""


audit.command("bias")(audit_bias)
audit.command("data")(audit_data)
