"""Lines for the person, on standard error, so that standard output stays what was asked for."""

from __future__ import annotations

import typer


def say(text: str) -> None:
    """Print a line."""
    typer.echo(text, err=True)
