"""Embeddings that somebody else computed: ``.npy`` arrays beside metadata, or columns of parquet.

LAION's own layout, as clip-retrieval writes it: ``img_emb/img_emb_0.npy`` and
``metadata/metadata_0.parquet``, one row of metadata per row of the array. There are no pictures,
only their addresses, and nothing is downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from safelatent.audit.sources import ARRAYS, FilePart, Read, cut, files_fingerprint, list_files
from safelatent.errors import BadValueError
from safelatent.optional import require
from safelatent.text import squeezed

if TYPE_CHECKING:
    from PIL import Image

PART = 65_536  # rows
# What tables call the facts about an image, lower case; the first that is there counts.
FACTS = {
    "id": ("id", "sample_id", "key", "image_id", "image_path"),
    "caption": ("caption", "text", "top_caption"),
    "url": ("url", "image_url"),
}
FLAGS = ("nsfw", "punsafe")
FLAG = "flag"
_NUMBER = re.compile(r"(\d+)\D*$")


@dataclass(kw_only=True)
class _Embeddings:
    """What both kinds have in common: no picture."""

    path: Path
    files: tuple[Path, ...]
    flag_column: str | None = None
    has_images: bool = False

    def image(self, part: FilePart, row: int) -> Image.Image | BadValueError:
        """Say that there is none."""
        return BadValueError(
            f"{str(self.path)!r} holds embeddings and no pictures; judge by --vectors or by the"
            " flag column"
        )


@dataclass(kw_only=True)
class NpyEmbeddings(_Embeddings):
    """Arrays (N, D), read through memory maps, with or without metadata beside them."""

    def parts(self) -> list[FilePart]:
        """List all parts.

        Raises:
            BadValueError: an array is broken, is not (N, D), is of another width than the first,
                or its metadata have another number of rows or no flag column.
        """
        for file in self.files if self.flag_column is not None else ():
            if (table := self._tables.get(file)) is None:
                raise BadValueError(
                    f"flag_column is {self.flag_column!r}, and {str(file)!r} has no metadata, which"
                    " are metadata/*.parquet with the same number in the name; add them, or leave"
                    " the column out"
                )
            _columns(table, _open(table).schema_arrow.names, self.flag_column)
        return [part for file in self.files for part in cut(file, 0, self._rows(file), PART)]

    def fingerprint(self) -> str:
        """Return a hash of the files."""
        return files_fingerprint((*self.files, *self._tables.values()))

    def read(self, parts: Sequence[FilePart]) -> Iterator[Read]:
        """Yield each part."""
        for part in parts:
            rows = np.array(_array(part.file)[part.start : part.stop], dtype=np.float32)
            yield Read(part=part, vectors=rows, broken={})

    def facts(self, part: FilePart, rows: Sequence[int]) -> list[Mapping[str, Any]]:
        """Return what the metadata say; nothing without metadata."""
        table = self._tables.get(part.file)
        if table is None:
            return [{"name": f"{part.file.name} {part.start + row}"} for row in rows]
        return _facts(table, [part.start + row for row in rows], self.flag_column)

    def _rows(self, file: Path) -> int:
        array, first = _array(file), _array(self.files[0])
        if array.shape[1] != first.shape[1]:
            raise BadValueError(
                f"{str(file)!r} has {array.shape[1]} values per row and {str(self.files[0])!r} has"
                f" {first.shape[1]}; index embeddings of one model at a time"
            )
        table = self._tables.get(file)
        if table is not None and (rows := _open(table).metadata.num_rows) != len(array):
            raise BadValueError(
                f"{str(file)!r} has {len(array)} rows and {str(table)!r} {rows}; they must be of"
                " the same images: download both again"
            )
        return len(array)

    @cached_property
    def _tables(self) -> dict[Path, Path]:
        """The metadata of each array: those of the same number at the end of the name."""
        folder = self.files[0].parent
        root = folder.parent if folder.name == ARRAYS else folder
        tables = {_number(file): file for file in list_files(root / "metadata", ".parquet")}
        return {file: tables[n] for file in self.files if (n := _number(file)) in tables}


@dataclass(kw_only=True)
class ParquetEmbeddings(_Embeddings):
    """A column of lists of numbers."""

    column: str | None = None

    def parts(self) -> list[FilePart]:
        """List all parts, within row groups.

        Raises:
            BadValueError: a file is broken, or has no column of embeddings or no flag column.
        """
        found: list[FilePart] = []
        for file in self.files:
            opened, start = _open(file), 0
            _columns(file, opened.schema_arrow.names, self.flag_column)
            self._embeddings(file, opened)
            for group in range(opened.metadata.num_row_groups):
                stop = start + opened.metadata.row_group(group).num_rows
                found += cut(file, start, stop, PART, group=group)
                start = stop
        return found

    def fingerprint(self) -> str:
        """Return a hash of the files and of the column."""
        return files_fingerprint(self.files, column=self.column)

    def read(self, parts: Sequence[FilePart]) -> Iterator[Read]:
        """Yield each part, reading every row group once."""
        groups: dict[tuple[Path, int], list[FilePart]] = {}
        for part in parts:
            groups.setdefault((part.file, part.group), []).append(part)
        for (file, group), wanted in groups.items():
            opened = _open(file)
            column = self._embeddings(file, opened)
            start = sum(opened.metadata.row_group(n).num_rows for n in range(group))
            batches = opened.iter_batches(PART, row_groups=[group], columns=[column])
            left = {part.start: part for part in wanted}
            for batch in batches:
                part = left.get(start)
                start += len(batch)
                if part is not None:
                    yield Read(part=part, vectors=_stacked(batch.column(0), part), broken={})

    def facts(self, part: FilePart, rows: Sequence[int]) -> list[Mapping[str, Any]]:
        """Return what the other columns say."""
        return _facts(part.file, [part.start + row for row in rows], self.flag_column)

    def _embeddings(self, file: Path, opened: Any) -> str:
        lists = _lists(opened)
        if self.column in lists or (self.column is None and len(lists) == 1):
            return self.column or lists[0]
        asked = (
            "one column of embeddings"
            if self.column is None
            else f"a column {self.column!r} of embeddings"
        )
        found = ", ".join(map(repr, lists)) or "none"
        raise BadValueError(
            f"{str(file)!r} does not have {asked} (lists of numbers; it has {found}); name the"
            " column with --column"
        )


def holds_embeddings(file: Path) -> bool:
    """Return whether a parquet file has a column of lists of numbers.

    Raises:
        BadValueError: it is broken.
        UnsupportedError: pyarrow is not installed.
    """
    return bool(_lists(_open(file)))


def _lists(opened: Any) -> list[str]:
    """The columns of lists of numbers."""
    types = require("pyarrow", extra="bench", purpose="parquet").types
    return [
        field.name
        for field in opened.schema_arrow
        if (
            types.is_list(field.type)
            or types.is_fixed_size_list(field.type)
            or types.is_large_list(field.type)
        )
        and types.is_floating(field.type.value_type)
    ]


def _array(file: Path) -> np.ndarray:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadValueError(
            f"{str(file)!r} is not a complete .npy array ({squeezed(error)}); download it again"
        ) from error
    if array.ndim != 2 or array.dtype.kind != "f" or not array.size:
        raise BadValueError(
            f"{str(file)!r} has the shape {array.shape} and the type {array.dtype}; embeddings must"
            " be floats (N, D), one row per image"
        )
    return array


def _open(file: Path) -> Any:
    purpose = f"the parquet file {str(file)!r}"
    arrow = require("pyarrow", extra="bench", purpose=purpose)
    parquet = require("pyarrow.parquet", extra="bench", purpose=purpose)
    try:
        return parquet.ParquetFile(file, memory_map=True)
    except (arrow.ArrowException, OSError) as error:
        raise BadValueError(
            f"{str(file)!r} is not a complete parquet file ({squeezed(error)}); download it again"
        ) from error


def _stacked(column: Any, part: FilePart) -> np.ndarray:
    """The lists of a column as rows (n, D); a missing one is NaN."""
    compute = require("pyarrow.compute", extra="bench", purpose="parquet")
    counts = compute.list_value_length(column).to_numpy(zero_copy_only=False)
    lengths = np.asarray(counts, dtype=np.float64)  # NaN where the list is missing
    known = ~np.isnan(lengths)
    widths = set(lengths[known].astype(int).tolist())
    if len(widths) != 1:
        raise BadValueError(
            f"{str(part.file)!r}, rows {part.start} to {part.stop - 1}: the embeddings have"
            f" {', '.join(map(str, sorted(widths))) or 'no'} values; all must have the same number"
        )
    rows = np.full((len(column), widths.pop()), np.nan, np.float32)
    rows[known] = (
        column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(known.sum(), -1)
    )
    return rows


def _facts(file: Path, rows: Sequence[int], flag_column: str | None) -> list[Mapping[str, Any]]:
    """The facts of rows of a file, row group by row group."""
    opened = _open(file)
    columns = _columns(file, opened.schema_arrow.names, flag_column)
    found: dict[int, Mapping[str, Any]] = {}
    start = 0
    for group in range(opened.metadata.num_row_groups):
        stop = start + opened.metadata.row_group(group).num_rows
        wanted = [row for row in rows if start <= row < stop]
        if wanted and columns:
            table = opened.read_row_group(group, columns=list(columns.values()))
            taken = table.take([row - start for row in wanted]).to_pylist()
            for row, cells in zip(wanted, taken, strict=True):
                found[row] = {name: cells[column] for name, column in columns.items()}
        start = stop
    return [{"name": f"{file.name} {row}", **found.get(row, {})} for row in rows]


def _columns(file: Path, names: Sequence[str], flag_column: str | None) -> dict[str, str]:
    """Fact -> column."""
    if flag_column is not None and flag_column not in names:
        raise BadValueError(
            f"{str(file)!r} has no column {flag_column!r}; its columns are: {', '.join(names)}"
        )
    lower = {name.lower(): name for name in names}
    found = {
        fact: next((lower[one] for one in spellings if one in lower), None)
        for fact, spellings in {**FACTS, FLAG: FLAGS}.items()
    }
    if flag_column is not None:
        found[FLAG] = flag_column
    return {fact: column for fact, column in found.items() if column is not None}


def _number(file: Path) -> int | str:
    """The number at the end of a file's name, whatever zeros precede it; else the name."""
    found = _NUMBER.search(file.stem)
    return int(found[1]) if found else file.stem
