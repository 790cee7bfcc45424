"""Lines for the person, on standard error, so that standard output stays what was asked for."""

from __future__ import annotations

import logging

import typer


def say(text: str) -> None:
    """Print a line."""
    typer.echo(text, err=True)


class _Lines(logging.Handler):
    """Log records as lines."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def show_log() -> None:
    """Print what safelatent logs from now on."""
    log = logging.getLogger("safelatent")
    log.handlers = [_Lines()]
    log.setLevel(logging.INFO)
    log.propagate = False
