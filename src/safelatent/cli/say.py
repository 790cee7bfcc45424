"""Lines for the person, on standard error, so that standard output stays what was asked for."""

from __future__ import annotations

import typer


def say(text: str) -> None:
    """Print a line."""
    typer.echo(text, err=True)


def printable(text: object) -> str:
    """A stranger's text as it stands, or quoted where it cannot be written or would end the line:
    no file name prints a line of its own.
    """
    return str(text) if str(text).isprintable() else repr(str(text))
