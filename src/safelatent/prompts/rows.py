"""Tables and their rows: a column by any of its spellings, a cell as what it should be.

Where a cell stands is part of every error. File formats are in ``files``, prompts in ``prompt``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from safelatent.errors import BadValueError

T = TypeVar("T")

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}(?:\.0*)?")
_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
_LISTED = 20  # columns that an error lists


class RowError(BadValueError):
    """A bad value in a row, with the row's place."""


class PromptRow(NamedTuple):
    """One row: its cells by column, and its place for errors. A blank row has no cells; a blank
    cell reads as None.
    """

    source: str
    place: str
    at: int
    cells: Mapping[str, object]

    def error(self, message: str) -> RowError:
        """Return an error about this row, to be raised."""
        return RowError(f"{self.source}, {self.place} {self.at}: {message}")

    def text(self, column: str) -> str:
        """Return the cell as text; a blank cell is the empty text."""
        value = self._cell(column)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.error(f"{column} is {_shown(value)}; it must be text")
        return value

    def label(self, column: str) -> str:
        """Return the cell as a name: text, or a whole number."""
        value = self._cell(column)
        return str(value) if type(value) is int else self.text(column).strip()

    def labels(self, column: str) -> tuple[str, ...]:
        """Return the cell as names: text separated by commas, or a list; a blank cell has none."""
        value = self._cell(column)
        parts = value if isinstance(value, list | tuple) else self.text(column).split(",")
        if not all(isinstance(part, str) for part in parts):
            raise self.error(
                f"{column} is {_shown(value)}; it must be names separated by commas, or a list of"
                " names"
            )
        return tuple(part.strip() for part in parts if part.strip())

    def keys(self, column: str) -> tuple[str, ...]:
        """Return the keys of the cell's object as names, or else its ``labels``."""
        value = self._cell(column)
        return tuple(map(str, value)) if isinstance(value, dict) else self.labels(column)

    def whole(self, column: str) -> int | None:
        """Return the cell as a whole number of at most 20 digits; 13.0 counts as 13."""
        text = self._written(column)
        if text is not None and not _WHOLE.fullmatch(text):
            raise self.error(f"{column} is {_shown(text)}; it must be a whole number")
        return None if text is None else int(text.partition(".")[0])

    def number(self, column: str) -> float | None:
        """Return the cell as a finite number."""
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
        """Return the cell as a truth value: 1 or 0, true or false."""
        text = self._written(column)
        if text is not None and text.lower() not in _FLAGS:
            raise self.error(f"{column} is {_shown(text)}; it must be 0 or 1, false or true")
        return None if text is None else _FLAGS[text.lower()]

    def given(self, column: str, read: Callable[[str], T | None]) -> T:
        """Return what ``read`` makes of the cell, which must not be blank: ``row.given("seed",
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
            raise self.error(
                f"there is no {column!r}; the row has {_listed(tuple(self.cells))}"
            ) from None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A file open for reading: its name, its columns, and its rows, which can be read once.

    Raises:
        BadValueError: there is no column, or one appears twice.
    """

    source: str
    columns: tuple[str, ...]
    rows: Iterator[PromptRow]

    def __post_init__(self) -> None:
        if not self.columns:
            raise BadValueError(
                f"{self.source} holds no table; give column names and at least one row"
            )
        doubled = sorted({column for column in self.columns if self.columns.count(column) > 1})
        if doubled:
            raise BadValueError(
                f"{self.source} has the column {_shown(doubled[0])} more than once; keep one of"
                " them"
            )

    def column(self, *spellings: str, remedy: str = "rename one") -> str:
        """Return the column that has one of ``spellings`` as its name.

        Names are the same if they differ only in capitals, in the spaces around them, or in the
        sign between words: ``Guidance Scale`` is ``guidance_scale``. There is no other guess, and
        no hint: the column with the nearest name may hold the opposite.

        Args:
            remedy: the end of the error for a missing column.

        Raises:
            BadValueError: there is no such column, or there are two, which might differ.
        """
        found = self.find(*spellings)
        if found is None:
            names = " or ".join(map(repr, spellings))
            raise BadValueError(
                f"{self.source} has no column {names}; its columns are:"
                f" {_listed(self.columns)}; {remedy}"
            )
        return found

    def find(self, *spellings: str) -> str | None:
        """Return the same as ``column``, or None if there is no such column."""
        if len(spellings) == 1 and spellings[0] in self.columns:
            return spellings[0]
        wanted = {_plain(name) for name in spellings}
        found = [name for name in self.columns if _plain(name) in wanted]
        if len(found) > 1:
            raise BadValueError(
                f"{self.source} has {' and '.join(map(repr, found))}, which mean the same; keep one"
                " of them"
            )
        return found[0] if found else None


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()


def _listed(columns: Sequence[str]) -> str:
    more = len(columns) - _LISTED
    shown = ", ".join(map(_shown, columns[:_LISTED]))
    return f"{shown} and {more} more" if more > 0 else shown


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
