"""What a person sees on standard error, so that standard output stays what was asked for: our own
lines, and none of the libraries'.
"""

from __future__ import annotations

import logging

import typer


def say(text: str) -> None:
    """Print a line."""
    typer.echo(text, err=True)


class _Lines(logging.Handler):
    """Log records as lines, warnings as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        note = "note: " if record.levelno >= logging.WARNING else ""
        say(f"{note}{record.getMessage()}")


def show_log() -> None:
    """Print what safelatent logs from now on."""
    log = logging.getLogger("safelatent")
    log.handlers = [_Lines()]
    log.setLevel(logging.INFO)
    log.propagate = False


def quiet_libraries() -> None:
    """Turn off the libraries' progress bars and everything below errors."""
    import diffusers
    import transformers
    from huggingface_hub.utils import logging as hub

    hub.set_verbosity_error()  # each of many attempts to connect is a warning
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
