"""Tables and their rows, cells read as what they should be. Knows where a cell stands; does not
know file formats or prompts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from safelatent.errors import BadValueError, nearest

T = TypeVar("T")

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}(?:\.0*)?")
_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


class RowError(BadValueError):
    """A bad value that tells in which row it stands."""


class Row(NamedTuple):
    """One row: its cells by column, and where it stands, for errors. A blank row has no cells.
    Cells that are blank give None.
    """

    source: str
    place: str
    at: int
    cells: Mapping[str, object]

    def error(self, message: str) -> RowError:
        """An error about this row, to be raised."""
        return RowError(f"{self.source}, {self.place} {self.at}: {message}")

    def text(self, column: str) -> str:
        """The cell as text; blank is the empty text."""
        value = self._cell(column)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.error(f"{column} is {_shown(value)}; it must be text")
        return value

    def label(self, column: str) -> str:
        """The cell as a name: text, or a whole number."""
        value = self._cell(column)
        return str(value) if type(value) is int else self.text(column).strip()

    def labels(self, column: str) -> tuple[str, ...]:
        """The cell as names: text with commas between them, or a list. None of it is no name."""
        value = self._cell(column)
        parts = value if isinstance(value, list | tuple) else self.text(column).split(",")
        if not all(isinstance(part, str) for part in parts):
            raise self.error(
                f"{column} is {_shown(value)}; it must be names with commas between them, or a list of names"
            )
        return tuple(part.strip() for part in parts if part.strip())

    def whole(self, column: str) -> int | None:
        """The cell as a whole number of at most 20 digits; 13.0 is one."""
        text = self._written(column)
        if text is not None and not _WHOLE.fullmatch(text):
            raise self.error(f"{column} is {_shown(text)}; it must be a whole number")
        return None if text is None else int(text.partition(".")[0])

    def number(self, column: str) -> float | None:
        """The cell as a finite number."""
        text = self._written(column)
        if text is None:
            return None
        try:
            number = math.nan if "_" in text else float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self.error(f"{column} is {_shown(text)}; it must be a finite number")
        return number

    def flag(self, column: str) -> bool | None:
        """The cell as yes or no: 1 or 0, true or false."""
        text = self._written(column)
        if text is not None and text.lower() not in _FLAGS:
            raise self.error(f"{column} is {_shown(text)}; it must be 0 or 1, false or true")
        return None if text is None else _FLAGS[text.lower()]

    def given(self, column: str, read: Callable[[str], T | None]) -> T:
        """What ``read`` makes of the cell, which must not be blank: ``row.given("seed",
        row.whole)``.
        """
        value = read(column)
        if value is None:
            raise self.error(f"{column} is blank; fill it in")
        return value

    def _written(self, column: str) -> str | None:
        value = self._cell(column)
        return None if value is None else str(value).strip() or None

    def _cell(self, column: str) -> object:
        try:
            return self.cells[column]
        except KeyError:
            hint = nearest(column, self.cells)
            raise self.error(
                f"there is no {column!r}{hint}; the row has {', '.join(map(repr, self.cells))}"
            ) from None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A file opened for reading: where it is, its columns, and its rows, which can be read once."""

    source: str
    columns: tuple[str, ...]
    rows: Iterator[Row]

    def __post_init__(self) -> None:
        if not self.columns:
            raise BadValueError(
                f"{self.source} holds no table; give column names and at least one row"
            )
        doubled = sorted({column for column in self.columns if self.columns.count(column) > 1})
        if doubled:
            raise BadValueError(
                f"{self.source} has the column {doubled[0]!r} more than once; keep one of them"
            )

    def column(self, *spellings: str) -> str:
        """The column that goes by one of ``spellings``.

        Raises:
            BadValueError: by none of them, or by two, which might differ.
        """
        found = self.find(*spellings)
        if found is None:
            hint = nearest(spellings[0], self.columns)
            names = " or ".join(map(repr, spellings))
            raise BadValueError(
                f"{self.source} has no column {names}{hint}; its columns are: {', '.join(map(repr, self.columns))}; rename one"
            )
        return found

    def find(self, *spellings: str) -> str | None:
        """As ``column``, with None for a column that is not there."""
        found = [name for name in spellings if name in self.columns]
        if len(found) > 1:
            raise BadValueError(
                f"{self.source} has {' and '.join(map(repr, found))}, which mean the same; keep one of them"
            )
        return found[0] if found else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
