"""Embeddings on disk in one form, and the nearest of a query among all of them.

    FOLDER/index.json            what it is an index of
    FOLDER/parts/00000.npy       unit vectors (n, D) float16, memory-mapped
    FOLDER/parts/00000.rows.npy  which rows of the part these are, if some are broken
    FOLDER/lists/                for a large index: see ``audit.lists``

Built once, by ``audit.building``. Cosines are exact to float16's rounding of the vectors, about
0.0005.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safelatent.audit.sources import FilePart, Source
from safelatent.errors import BadValueError

BLOCK = 8192  # rows whose cosines are computed at once
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class NearestRows:
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
    parts: tuple[FilePart, ...]
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

    def places(self, rows: Sequence[int]) -> list[tuple[FilePart, int]]:
        """Return the part of each row, and which of the part's rows it is."""
        parts = (np.searchsorted(self.starts, rows, side="right") - 1).tolist()
        kept = {n: self._kept(n) for n in set(parts)}
        return [
            (self.parts[n], int(kept[n][row - int(self.starts[n])]))
            for n, row in zip(parts, rows, strict=True)
        ]

    def exact(self, queries: NDArray[np.floating[Any]], k: int) -> NearestRows:
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
        return NearestRows(
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
        check_count(k, len(self))
        units, bad = unit_vectors(queries)
        if bad.any():
            raise BadValueError(
                f"query {int(np.flatnonzero(bad)[0])} has NaN, infinity or only zeros as its"
                " embedding; use another CLIP or another text"
            )
        return units

    def _kept(self, part: int) -> Sequence[int] | NDArray[np.int64]:
        """Which rows of a part are in the index."""
        file = rows_file(self.folder, part)
        return np.load(file) if file.exists() else range(len(self.parts[part]))


def check_count(nearest: int, rows: int) -> None:
    """Refuse to search for more rows than there are.

    Raises:
        BadValueError: saying how many there are.
    """
    if not 1 <= nearest <= rows:
        raise BadValueError(f"nearest is {nearest} and there are {rows} rows; ask for 1 to {rows}")


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


def vectors_file(folder: Path, number: int) -> Path:
    """Return where the vectors of a part are."""
    return folder / f"parts/{number:05d}.npy"


def rows_file(folder: Path, number: int) -> Path:
    """Return where it is said which rows of a part are in the index, if some are broken."""
    return folder / f"parts/{number:05d}.rows.npy"
