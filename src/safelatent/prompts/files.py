"""Rows from files: CSV, JSON Lines, parquet and plain lines, read as a stream. Knows formats; does
not know prompts.

A file that is not what its name says is an error with its place: nothing is guessed, mended or left
out. Nothing but the file is touched.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from safelatent.errors import BadValueError, UnsupportedError
from safelatent.prompts.rows import Row, Table

MAX_CELL = (
    2**24
)  # characters of a CSV cell; csv's own limit would stop at the first prompt of more than 131,072
LINE = "line"  # the one column of a plain text file


def read(path: str | Path) -> Table:
    """Open a file by its ending: .csv, .jsonl, .parquet, or .txt with a row a line.

    Raises:
        BadValueError: no such file, another ending, an empty file, or, while reading, whatever is
            wrong with a row, with its place.
        UnsupportedError: parquet without pyarrow.
    """
    file = Path(path)
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        raise BadValueError(
            f"{str(path)!r} ends in {file.suffix!r}; prompts are read from {', '.join(READERS)}"
        )
    if not file.is_file():
        raise BadValueError(f"{str(path)!r} is not a file; give the path of a table of prompts")
    if file.stat().st_size == 0:
        raise BadValueError(f"{file} is empty; give a table with at least one row")
    return reader(file)


def _lines(file: Path) -> Generator[str, None, None]:
    """Decoded lines with their ends, without a byte order mark. To be closed: an error elsewhere
    would keep the file open.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            for number, line in enumerate(stream, 1):
                if "\0" in line:
                    raise BadValueError(
                        f"{file}, line {number}: there is a NUL byte; the file is damaged, or it is not UTF-8 text"
                    )
                yield line
    except UnicodeDecodeError:
        raise _bad_utf8(file) from None


def _bad_utf8(file: Path) -> BadValueError:
    """Where the first byte stands that is not UTF-8: a stream's decoder tells its place in a block
    only.
    """
    offset = 0
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                place, value = offset + error.start, line[error.start]
                return BadValueError(
                    f"{file}, line {number}: byte {place} is {value:#04x}, which is not UTF-8; save the file as UTF-8"
                )
            offset += len(line)
    return BadValueError(f"{file} changed while it was read; try again")


def _read_csv(file: Path) -> Table:
    try:
        with closing(_lines(file)) as lines:
            header = next(csv.reader(lines, strict=True), [])
    except csv.Error as error:
        raise BadValueError(
            f"{file}, line 1: {error}; give a header with the names of the columns"
        ) from None
    return Table(source=str(file), columns=tuple(header), rows=_csv_rows(file, header))


def _csv_rows(file: Path, header: list[str]) -> Iterator[Row]:
    source, before, line = str(file), csv.field_size_limit(MAX_CELL), 1
    try:
        with closing(_lines(file)) as lines:
            reader = csv.reader(lines, strict=True)
            next(reader)  # the header
            line = reader.line_num + 1
            for cells in reader:
                yield Row(source, "line", line, _by_column(source, line, header, cells))
                line = reader.line_num + 1
    except csv.Error as error:
        raise BadValueError(
            f"{source}, line {line}: {error}; is a quote missing, or a cell not in quotes?"
        ) from None
    finally:
        csv.field_size_limit(before)


def _by_column(source: str, line: int, header: list[str], cells: list[str]) -> dict[str, object]:
    if not any(cells):
        return {}
    if len(cells) != len(header):
        raise BadValueError(
            f"{source}, line {line}: there are {len(cells)} cells for {len(header)} columns; put cells that hold commas in quotes"
        )
    return dict(zip(header, cells, strict=True))


def _read_jsonl(file: Path) -> Table:
    with closing(_jsonl_rows(file)) as rows:
        columns = next((tuple(row.cells) for row in rows if row.cells), ())
    return Table(source=str(file), columns=columns, rows=_jsonl_rows(file))


def _jsonl_rows(file: Path) -> Generator[Row, None, None]:
    first: dict[str, object] = {}
    with closing(_lines(file)) as lines:
        for line, text in enumerate(lines, 1):
            cells = _json_object(file, line, text) if text.strip() else {}
            first = first or cells
            if more := [key for key in cells if key not in first]:
                raise BadValueError(
                    f"{file}, line {line}: the key {more[0]!r} is not in the first row; give every row the same keys"
                )
            yield Row(str(file), "line", line, cells)


def _json_object(file: Path, line: int, text: str) -> dict[str, object]:
    try:
        value = json.loads(text, object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise BadValueError(
            f"{file}, line {line}: {error}; each line must be one JSON object"
        ) from None
    if not isinstance(value, dict):
        raise BadValueError(
            f"{file}, line {line}: it is {text.strip()[:60]!r}; each line must be one JSON object"
        )
    return value


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _read_parquet(file: Path) -> Table:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UnsupportedError(
            f'{file}: parquet needs pyarrow; run pip install "safelatent[bench]", or save the table as CSV'
        ) from None
    try:
        table = ParquetFile(file)
    except (ArrowException, OSError) as error:
        raise BadValueError(
            f"{file} is not a parquet file, or a damaged one: {_one_line(error)}"
        ) from None
    return Table(
        source=str(file), columns=tuple(table.schema_arrow.names), rows=_parquet_rows(file, table)
    )


def _parquet_rows(file: Path, table: Any) -> Iterator[Row]:
    from pyarrow import ArrowException

    number = 0
    with table:
        try:
            for batch in table.iter_batches(batch_size=4096):
                for cells in batch.to_pylist():
                    number += 1
                    yield Row(
                        str(file),
                        "row",
                        number,
                        cells if any(cell is not None for cell in cells.values()) else {},
                    )
        except (ArrowException, OSError, UnicodeDecodeError) as error:
            raise BadValueError(
                f"{file} cannot be read after row {number}: {_one_line(error)}; it is damaged"
            ) from None


def _read_text(file: Path) -> Table:
    rows = (
        Row(str(file), "line", n, {LINE: line.strip()} if line.strip() else {})
        for n, line in enumerate(_lines(file), 1)
    )
    return Table(source=str(file), columns=(LINE,), rows=rows)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".txt": _read_text,
}
