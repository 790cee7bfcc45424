"""Text files: UTF-8 lines, CSV records and plain lists, read as a stream."""

from __future__ import annotations

import csv
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from safelatent.errors import BadValueError
from safelatent.prompts.rows import PromptRow, Table
from safelatent.text import squeezed

# Characters of a CSV cell; csv's own limit would stop at the first prompt of more than 131,072.
MAX_CELL = 2**24
LINE = "line"  # the one column of a plain text file, and of a JSON list of texts

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_MOST_LINES = 100  # of a header with line breaks in quotes
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def lines_of(file: Path) -> Generator[str, None, None]:
    """Yield decoded lines with their ends, without a byte order mark.

    Close it: a traceback would keep the file open.

    Raises:
        BadValueError: the text is not UTF-8 or holds a NUL, with the place.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            for number, line in enumerate(stream, 1):
                if "\0" in line:
                    raise BadValueError(
                        f"{file}, line {number}: there is a NUL byte; the file is damaged, or it is"
                        " not UTF-8 text"
                    )
                yield line
    except UnicodeDecodeError:
        raise _bad_utf8(file) from None
    except OSError as error:
        raise unreadable(file, error) from None


def _bad_utf8(file: Path) -> BadValueError:
    """Find the first byte that is not UTF-8; a stream's decoder knows its place in a block only."""
    offset = 0
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                place, value = offset + error.start, line[error.start]
                return BadValueError(
                    f"{file}, line {number}: byte {place} is {value:#04x}, which is not UTF-8; save"
                    " the file as UTF-8"
                )
            offset += len(line)
    return BadValueError(f"{file} changed while it was read; try again")


def read_csv(file: Path) -> Table:
    """Open a file with a header and one record per row, in quotes where needed.

    Columns without a name, which spreadsheets leave behind, are not read.

    Raises:
        BadValueError: the header has no names, or whatever ``Table`` refuses.
    """
    separator = _separator(file)
    with closing(_records(file, separator)) as records:
        _, header = next(records, (1, []))
    columns = tuple(name if name.strip() else "" for name in header)
    if not any(columns):
        raise BadValueError(
            f"{file} holds no table: line 1 has no names of columns; begin with a header"
        )
    rows = _csv_rows(file, columns, separator)
    return Table(source=str(file), columns=tuple(filter(None, columns)), rows=rows)


def _separator(file: Path) -> str:
    """Return what separates the header's names: the commonest outside of quotes, else a comma."""
    header = ""
    with closing(lines_of(file)) as lines:
        for line in islice(lines, _MOST_LINES):
            header += line
            if header.count('"') % 2 == 0:
                break
    bare = _QUOTED.sub("", header)
    return max(_SEPARATORS, key=bare.count)  # of equally common ones the first, a comma


def _records(file: Path, separator: str) -> Generator[tuple[int, list[str]], None, None]:
    """Yield the cells of each record, with the line where it begins."""
    line = 1
    try:
        with closing(lines_of(file)) as lines:
            reader = csv.reader(lines, strict=True, delimiter=separator)
            while (cells := _next_record(reader)) is not None:
                yield line, cells
                line = reader.line_num + 1
    except csv.Error as error:
        raise BadValueError(
            f"{file}, line {line}: {error}; is a quote missing, or a cell not in quotes?"
        ) from None


def _next_record(reader: Iterator[list[str]]) -> list[str] | None:
    """Read one record. The limit for cells is the whole process', so it holds only meanwhile."""
    before = csv.field_size_limit(MAX_CELL)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)


def _csv_rows(file: Path, columns: tuple[str, ...], separator: str) -> Iterator[PromptRow]:
    source = str(file)
    with closing(_records(file, separator)) as records:
        next(records)  # the header
        for line, cells in records:
            if len(cells) != len(columns) and any(cells):
                raise PromptRow(source, "line", line, {}).error(
                    f"there are {len(cells)} cells for {len(columns)} columns; put cells that hold"
                    f" {_SEPARATORS[separator]} in quotes"
                )
            named = dict(zip(columns, cells, strict=True)) if any(cells) else {}
            named.pop("", None)
            yield PromptRow(source, "line", line, named)


def read_text(file: Path) -> Table:
    """Open a file with one row per line and the column ``LINE``."""
    return Table(source=str(file), columns=(LINE,), rows=_text_rows(file))


def _text_rows(file: Path) -> Generator[PromptRow, None, None]:
    with closing(lines_of(file)) as lines:
        for number, line in enumerate(lines, 1):
            yield PromptRow(str(file), "line", number, line_cells(line))


def line_cells(text: str) -> dict[str, object]:
    """Return the cells of a row that is one text."""
    return {LINE: text.strip()} if text.strip() else {}


def unreadable(file: Path, error: OSError) -> BadValueError:
    """Return the error for a file that the system does not let us read."""
    return BadValueError(f"{file} cannot be read: {error.strerror or squeezed(error)}")
