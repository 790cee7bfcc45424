"""Embeddings on disk in one form, and the nearest of a query among all of them.

    FOLDER/index.json          what it is an index of
    FOLDER/parts/00000.npy     unit vectors (n, D) float16, memory-mapped
    FOLDER/parts/00000.rows.npy  which rows of the part these are, if some are broken
    FOLDER/lists/              for a large index: see ``audit.lists``

Built once. Every file is written whole, so that a build that was killed resumes at the first part
that is missing. Cosines are exact to float16's rounding of the vectors, about 0.0005.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safelatent.audit.sources import Part, Read, Source
from safelatent.errors import BadValueError
from safelatent.storage import write_whole

FORMAT = 1
BLOCK = 8192  # rows whose cosines are computed at once
Progress = Callable[[int, int, str], None]
_LOG = logging.getLogger("safelatent")


@dataclass(frozen=True, kw_only=True, eq=False)
class Nearest:
    """The nearest rows of each query, the nearest first.

    Attributes:
        rows: numbers of rows of the index, (Q, k).
        cosines: (Q, k).
    """

    rows: NDArray[np.int64]
    cosines: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """An index that is built.

    Attributes:
        folder: where it is.
        source: what it is an index of.
        parts: of the source.
        arrays: unit vectors of each part, memory-mapped.
    """

    folder: Path
    source: Source
    parts: tuple[Part, ...]
    arrays: tuple[NDArray[np.float16], ...]

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def width(self) -> int:
        """Number of values per row."""
        return int(self.arrays[0].shape[1])

    @property
    def left_out(self) -> int:
        """Rows of the source that are broken and not in the index."""
        return sum(map(len, self.parts)) - len(self)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Number of the first row of each part, and the number of all rows."""
        return np.cumsum([0, *map(len, self.arrays)])

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the first row and the vectors of every ``BLOCK`` rows, in single precision."""
        for start, array in zip(self.starts, self.arrays, strict=False):
            for first in range(0, len(array), BLOCK):
                yield int(start) + first, array[first : first + BLOCK].astype(np.float32)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors (n, D) of rows."""
        part = np.searchsorted(self.starts, rows, side="right") - 1
        found = np.empty((len(rows), self.width), np.float32)
        for n in np.unique(part):
            at = part == n
            found[at] = self.arrays[n][rows[at] - self.starts[n]]
        return found

    def places(self, rows: Sequence[int]) -> list[tuple[Part, int]]:
        """Return the part of each row, and which of the part's rows it is."""
        parts = np.searchsorted(self.starts, rows, side="right") - 1
        return [
            (self.parts[n], self._row(n, row - int(self.starts[n])))
            for n, row in zip(parts.tolist(), rows, strict=True)
        ]

    def exact(self, queries: NDArray[np.floating[Any]], k: int) -> Nearest:
        """Compare every query (Q, D) with every row.

        Raises:
            BadValueError: the widths differ, a query has no direction, or there are fewer than
                ``k`` rows.
        """
        units = self.check(queries, k)
        rows = np.zeros((len(units), 0), np.int64)
        cosines = np.zeros((len(units), 0), np.float32)
        for start, block in self.blocks():
            new = units @ block.T
            numbers = np.broadcast_to(np.arange(start, start + len(block)), new.shape)
            cosines = np.concatenate([cosines, new], axis=1)
            rows = np.concatenate([rows, numbers], axis=1)
            if cosines.shape[1] > k:
                best = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
                cosines = np.take_along_axis(cosines, best, axis=1)
                rows = np.take_along_axis(rows, best, axis=1)
        order = np.lexsort((rows, -cosines), axis=1)
        return Nearest(
            rows=np.take_along_axis(rows, order, axis=1),
            cosines=np.take_along_axis(cosines, order, axis=1),
        )

    def check(self, queries: NDArray[np.floating[Any]], k: int) -> NDArray[np.float32]:
        """Return the queries as unit vectors.

        Raises:
            BadValueError: as ``exact``.
        """
        if queries.shape[1] != self.width:
            raise BadValueError(
                f"the queries have {queries.shape[1]} values and the index has {self.width}; embed"
                " the queries with the CLIP of the index: name it with --features"
            )
        if not 1 <= k <= len(self):
            raise BadValueError(
                f"nearest is {k} and the index has {len(self)} rows; ask for 1 to {len(self)}"
            )
        units, bad = unit_vectors(queries)
        if bad.any():
            raise BadValueError(
                f"query {int(np.flatnonzero(bad)[0])} has NaN, infinity or only zeros as its"
                " embedding; use another CLIP or another text"
            )
        return units

    def _row(self, part: int, row: int) -> int:
        file = _rows_file(self.folder, part)
        return int(np.load(file)[row]) if file.exists() else row


def build_index(
    source: Source,
    folder: Path,
    *,
    skip_broken: bool = False,
    progress: Progress = lambda *_: None,
) -> Index:
    """Build or resume an index of ``source``, or open it if it is complete.

    Args:
        skip_broken: leave out rows that cannot be read or have no direction, and count them.
        progress: called with parts done, all parts, and words.

    Raises:
        BadValueError: the folder holds an index of something else, a row is broken, or the source
            is; what was indexed before is kept.
        OSError: the folder cannot be written.
    """
    parts = source.parts()
    _check_same(folder, source, parts)
    missing = [part for n, part in enumerate(parts) if not _vectors_file(folder, n).exists()]
    numbers = {id(part): n for n, part in enumerate(parts)}
    done = len(parts) - len(missing)
    for read in source.read(missing):
        _store(folder, numbers[id(read.part)], read, skip_broken)
        done += 1
        progress(done, len(parts), "parts")
    index = _opened(folder, source, parts)
    if index.left_out:
        _LOG.warning("%d rows of %s are broken and left out", index.left_out, source.path)
    return index


def unit_vectors(
    rows: NDArray[np.floating[Any]],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return rows (n, D) scaled to length 1, and which of them have no direction: NaN, infinity or
    only zeros.
    """
    wide = rows.astype(np.float32)
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        units = wide / lengths
    return units, ~np.isfinite(units).all(axis=1)


def _store(folder: Path, number: int, read: Read, skip_broken: bool) -> None:
    units, bad = unit_vectors(read.vectors)
    assert len(units) == len(read.part)
    if bad.any() and not skip_broken:
        row = int(np.flatnonzero(bad)[0])
        why = read.broken.get(
            row,
            f"{read.part.file}, row {read.part.start + row}: the embedding has NaN, infinity or"
            " only zeros",
        )
        raise BadValueError(
            f"{why} (one of {int(bad.sum())} broken rows of {len(bad)}); mend or remove it, or give"
            " --skip-broken to leave such rows out and count them"
        )
    if bad.any():  # first, so that vectors never lie there without them
        write_whole(_rows_file(folder, number), _bytes(np.flatnonzero(~bad)))
    write_whole(_vectors_file(folder, number), _bytes(units[~bad].astype(np.float16)))


def _check_same(folder: Path, source: Source, parts: Sequence[Part]) -> None:
    """Begin an index, or make sure that the folder holds one of the same source."""
    known = {
        "format": FORMAT,
        "source": str(source.path),
        "fingerprint": source.fingerprint(),
        "rows": sum(map(len, parts)),
        "parts": len(parts),
    }
    file = folder / "index.json"
    if not file.exists():
        write_whole(file, json.dumps(known, indent=1).encode())
        return
    try:
        stored: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        stored = {}
    if stored != known:
        raise BadValueError(
            f"{str(folder)!r} holds an index of {stored.get('source', 'something else')!r} as it"
            f" was then, or by another CLIP, not of {str(source.path)!r} as it is now; name another"
            " folder, or delete this one"
        )


def _opened(folder: Path, source: Source, parts: Sequence[Part]) -> Index:
    arrays = tuple(_loaded(_vectors_file(folder, n)) for n in range(len(parts)))
    widths = {array.shape[1] for array in arrays}
    if len(widths) > 1:
        raise BadValueError(
            f"the embeddings of {str(source.path)!r} have {' and '.join(map(str, sorted(widths)))}"
            " values; index embeddings of one model at a time"
        )
    index = Index(folder=folder, source=source, parts=tuple(parts), arrays=arrays)
    if not len(index):
        raise BadValueError(f"no row of {str(source.path)!r} could be read; name another source")
    return index


def _loaded(file: Path) -> NDArray[np.float16]:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BadValueError(
            f"{str(file)!r} is broken; delete this file, and run the same command again"
        ) from error


def _bytes(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def _vectors_file(folder: Path, number: int) -> Path:
    return folder / f"parts/{number:05d}.npy"


def _rows_file(folder: Path, number: int) -> Path:
    return folder / f"parts/{number:05d}.rows.npy"
