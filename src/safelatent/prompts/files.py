"""Rows from files, read as a stream: CSV, JSON, JSON Lines, parquet and plain lines.

A file that is not what its name says raises an error with the place; nothing is guessed, repaired
or left out. What the columns mean is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from safelatent.errors import BadValueError
from safelatent.optional import require
from safelatent.prompts.rows import PromptRow, Table
from safelatent.prompts.text_files import line_cells, lines_of, read_csv, read_text, unreadable
from safelatent.text import squeezed

# What a file may be behind another ending, by its first bytes.
_DISGUISES = (
    (b"\x1f\x8b", "is compressed by gzip; unpack it"),
    (b"PK\x03\x04", "is an Excel workbook or a zip archive; save the sheet as CSV, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook; save the sheet as CSV"),
    (b"\xff\xfe", "is UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16 text; save it as UTF-8"),
    (b"version https://git-lfs", "is a pointer of Git LFS without the data; run git lfs pull"),
    (b"<!doctype html", "is a web page; download the file itself"),
    (b"<html", "is a web page; download the file itself"),
)
_ENDINGS = {
    ".gz": "; unpack it",
    ".zip": "; unpack it",
    ".xls": "; save the sheet as CSV",
    ".xlsx": "; save the sheet as CSV",
}


def read(path: str | Path) -> Table:
    """Open a file by its ending.

    .csv and .tsv have a header, and cells separated by commas, semicolons, tabs or vertical bars,
    whichever the header holds most of; .jsonl has one object per line; .json is a list of objects
    or of texts; .txt has one row per line.

    Raises:
        BadValueError: there is no such file, the ending is another, the file is empty or is
            something else than it says, or, while reading, a row is wrong, with its place.
        UnsupportedError: the file is parquet and pyarrow is not installed.
    """
    file = Path(path)
    ending = file.suffix.lower()
    reader = READERS.get(ending)
    if reader is None:
        raise BadValueError(
            f"{str(path)!r} ends in {file.suffix!r}; prompts are read from {', '.join(READERS)}"
            f"{_ENDINGS.get(ending, '')}"
        )
    if not file.is_file():
        raise BadValueError(
            f"{str(path)!r} is not a file; give the path of one that ends in {', '.join(READERS)}"
        )
    _check_first_bytes(file)
    return reader(file)


def _check_first_bytes(file: Path) -> None:
    try:
        with file.open("rb") as stream:
            first = stream.read(32).lower()
    except OSError as error:
        raise unreadable(file, error) from None
    if not first:
        raise BadValueError(f"{file} is empty; give a table with at least one row")
    for start, what in _DISGUISES:
        if first.startswith(start.lower()):
            raise BadValueError(f"{file} {what}")


def _read_jsonl(file: Path) -> Table:
    with closing(_jsonl_rows(file)) as rows:
        columns = next((tuple(row.cells) for row in rows if row.cells), ())
    return Table(source=str(file), columns=columns, rows=_same_keys(_jsonl_rows(file)))


def _jsonl_rows(file: Path) -> Generator[PromptRow, None, None]:
    with closing(lines_of(file)) as lines:
        for line, text in enumerate(lines, 1):
            row = PromptRow(str(file), "line", line, {})
            yield row._replace(cells=_json_object(row, text)) if text.strip() else row


def _json_object(row: PromptRow, text: str) -> dict[str, object]:
    try:
        value = json.loads(text, object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise row.error(f"{error}; each line must be one JSON object") from None
    if not isinstance(value, dict):
        raise row.error(f"it is {text.strip()[:60]!r}; each line must be one JSON object")
    return value


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _same_keys(rows: Iterator[PromptRow]) -> Iterator[PromptRow]:
    """Refuse a key that the first row lacks: nobody would miss what is not read of it."""
    first: dict[str, object] = {}
    for row in rows:
        first = first or dict(row.cells)
        if more := [key for key in row.cells if key not in first]:
            raise row.error(
                f"the key {more[0]!r} is not in the first row; give every row the same keys"
            )
        yield row


def _read_json(file: Path) -> Table:
    with closing(lines_of(file)) as lines:
        text = "".join(lines)
    try:
        items = json.loads(text, object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise BadValueError(f"{file}: {error}; give a list of objects, or of texts") from None
    if not isinstance(items, list):
        raise BadValueError(
            f"{file} begins {text.strip()[:40]!r}; give a list of objects, or of texts"
        )
    rows = [_json_row(file, n, item) for n, item in enumerate(items, 1)]
    columns = next((tuple(row.cells) for row in rows if row.cells), ())
    return Table(source=str(file), columns=columns, rows=_same_keys(iter(rows)))


def _json_row(file: Path, number: int, item: object) -> PromptRow:
    row = PromptRow(str(file), "item", number, {})
    if isinstance(item, str):
        return row._replace(cells=line_cells(item))
    if not isinstance(item, dict):
        raise row.error(f"it is {str(item)[:60]!r}; each item must be an object or a text")
    return row._replace(cells=item)


def _read_parquet(file: Path) -> Table:
    purpose = f"the parquet file {str(file)!r}"
    arrow = require("pyarrow", extra="bench", purpose=purpose)
    parquet = require("pyarrow.parquet", extra="bench", purpose=purpose)
    try:
        table = parquet.ParquetFile(file)
    except (arrow.ArrowException, OSError) as error:
        raise BadValueError(
            f"{file} is not a parquet file, or a damaged one: {squeezed(error)}"
        ) from None
    # Pictures that lie beside the prompts are not read: a batch of them may fill the memory.
    names = [field.name for field in table.schema_arrow if not _holds_bytes(arrow, field.type)]
    return Table(
        source=str(file), columns=tuple(names), rows=_parquet_rows(file, table, names, arrow)
    )


def _holds_bytes(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_struct(kind)


def _parquet_rows(file: Path, table: Any, names: list[str], arrow: Any) -> Iterator[PromptRow]:
    number = 0
    with table:
        try:
            for batch in table.iter_batches(batch_size=4096, columns=names):
                for cells in batch.to_pylist():
                    number += 1
                    blank = all(cell is None for cell in cells.values())
                    yield PromptRow(str(file), "row", number, {} if blank else cells)
        except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise BadValueError(
                f"{file} cannot be read after row {number}: {squeezed(error)}; it is damaged"
            ) from None


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".txt": read_text,
}
