"""One line of text: errors and names of strangers, made fit for a terminal, a table or a log."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from safelatent.errors import SafelatentError


def one_line(error: BaseException) -> str:
    """Return the message on one line, preceded by the error's type unless the error is ours."""
    message = squeezed(error)
    return message if isinstance(error, SafelatentError) else f"{type(error).__name__}: {message}"


def squeezed(text: object) -> str:
    """Return ``str(text)`` with every run of white space, line breaks included, as one space."""
    return " ".join(str(text).split())


def printable(text: object) -> str:
    """Return ``str(text)``, quoted if it holds control characters.

    So the name of a file cannot print a line that looks like ours.
    """
    return str(text) if str(text).isprintable() else repr(str(text))


def html_table(rows: Mapping[str, object]) -> str:
    """Return a table of two columns, names and values, as a notebook shows an object."""
    cells = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in rows.items()
    )
    return f"<table>{cells}</table>"
