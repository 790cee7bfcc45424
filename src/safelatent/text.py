"""One line of text: errors and names of strangers, made fit for a terminal, a table or a log."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, TypeVar
from unicodedata import category

from safelatent.errors import BadValueError, SafelatentError, nearest

T = TypeVar("T")
N = TypeVar("N", bound=str)
_KEPT = "\n\t\r\u200c\u200d"  # the last two are the non-joiner and the joiner
_BREAKS = ("\t", "\r", "\n")
# The full-width forms too: some spreadsheets take them for the plain ones.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


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


def visible(text: str) -> str:
    """Return ``text`` with every character that hides or reorders text as its escape.

    A right-to-left override, a zero-width space or a bell becomes ``\\u202e``, ``\\u200b`` or
    ``\\x07``. Line breaks, tabs and all widths of space stay, and so do the two joiners that emoji
    and scripts such as Persian are written with.
    """
    if text.isprintable():
        return text
    return "".join(c if _is_seen(c) else _escaped(c) for c in text)


def visible_line(text: object) -> str:
    """Return a stranger's text as one line, with what hides as escapes: it cannot print a line that
    looks like ours.
    """
    return visible(squeezed(text))


def shortened(text: str, longest: int) -> str:
    """Return ``text``, cut with an ellipsis if it has more than ``longest`` characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def counted(number: int, thing: str) -> str:
    """Return ``1 image``, ``2,000 images``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def names_of(
    given: Iterable[str], known: Sequence[N], thing: str, short: Mapping[str, str] | None = None
) -> tuple[N, ...]:
    """Return names of a closed list, in its order; blank ones are left out.

    Args:
        given: as somebody wrote them, in any case and order.
        known: the list.
        thing: what one of them is called; "s" makes it plural.
        short: other ways to write some of them.

    Raises:
        BadValueError: an unknown name, one twice, or none.
    """
    written = list(given)
    words = [name.strip().lower() for name in written if name.strip()]
    names = [(short or {}).get(word, word) for word in words]
    for name in names:
        if name not in known:
            raise BadValueError(
                f"unknown {thing} {name!r}{nearest(name, known)}; it must be one of"
                f" {', '.join(known)}"
            )
    if not names or len(set(names)) < len(names):
        raise BadValueError(
            f"the {thing}s are {','.join(written)!r}; name at least one of {', '.join(known)},"
            " each once"
        )
    return tuple(name for name in known if name in names)


def finite(value: Any) -> Any:
    """Return plain values with None for a number that is not finite, which JSON cannot hold, at any
    depth.
    """
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def is_deeper(value: Any, most: int) -> bool:
    """Return whether dictionaries and lists are nested more than ``most`` deep."""
    level = [value]  # without recursion, which ends in an error itself
    for _ in range(most):
        held = [one for one in level if isinstance(one, dict | list)]
        level = [part for one in held for part in (one.values() if isinstance(one, dict) else one)]
    return any(isinstance(one, dict | list) for one in level)


def csv_cell(value: T) -> T | str:
    """Return what a cell of a CSV file holds for ``value``: a text that a spreadsheet would take
    for a formula is preceded by an apostrophe; numbers and other texts are returned as they are.
    """
    if not isinstance(value, str):
        return value
    begins = value[:1] in _BREAKS or value.lstrip()[:1] in _FORMULA
    return f"'{value}" if value and begins else value


def _is_seen(character: str) -> bool:
    return character.isprintable() or character in _KEPT or category(character) == "Zs"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
