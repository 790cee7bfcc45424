"""A large index searched in part: lists of rows by their nearest centre (an inverted file).

H. Jégou, M. Douze and C. Schmid, Product quantization for nearest neighbor search, PAMI 33 (2011).
faiss trains the centres, and keeps every row as one byte per value in the list of its centre; a
query reads the lists of the nearest centres from a memory map, and the best of them are compared
again with the exact vectors.

    INDEX/lists/centres.faiss   trained once
    INDEX/lists/00000.faiss     a part's rows, until all are there
    INDEX/lists/index.faiss     all lists, memory-mapped; written last

Each is written whole, so a build that was killed resumes; of two builds at once, the second waits.
"""

from __future__ import annotations

import fcntl
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safelatent.audit.index import Index, NearestRows, Progress, vectors_file
from safelatent.errors import BadValueError
from safelatent.optional import require
from safelatent.storage import make_folder, sync_folder

FROM = 200_000  # rows from which the lists are the default
MOST_CENTRES = 8192
PER_CENTRE = 40  # rows that a centre is trained on
READ = 128  # lists per query
AGAIN = 3  # times k candidates are compared again with the exact vectors


def check_lists(search: str, rows: int) -> bool:
    """Return whether ``search`` (exact, lists or auto) of so many rows uses lists.

    Raises:
        UnsupportedError: it does, and faiss is not installed.
    """
    lists = search == "lists" or (search == "auto" and rows >= FROM)
    if lists:
        _faiss()
    return lists


def search_lists(
    index: Index,
    queries: NDArray[np.floating[Any]],
    k: int,
    *,
    lists: Any = None,
    read: int = READ,
) -> NearestRows:
    """Return the nearest rows of each query (Q, D) among the rows of ``read`` lists.

    Args:
        lists: what ``build_lists`` returned; None builds or opens them.

    Raises:
        BadValueError: as ``Index.exact``, or the lists are broken.
        UnsupportedError: faiss is not installed.
        OSError: the disk is full, or fails.
    """
    units = index.check(queries, k)
    lists = build_lists(index) if lists is None else lists
    lists.nprobe = read
    _, candidates = lists.search(units, min(AGAIN * k, len(index)))
    rows = np.zeros((len(units), k), np.int64)
    cosines = np.full((len(units), k), np.nan, np.float32)
    for n, found in enumerate(candidates):
        known = found[found >= 0]
        if len(known) < k:
            raise BadValueError(
                f"the {read} lists of query {n} hold {len(known)} rows, fewer than {k}; give"
                " --search exact"
            )
        exact = index.vectors(known) @ units[n]
        best = np.lexsort((known, -exact))[:k]
        rows[n], cosines[n] = known[best], exact[best]
    return NearestRows(rows=rows, cosines=cosines)


def build_lists(index: Index, progress: Progress = lambda *_: None) -> Any:
    """Return the lists of an index, memory-mapped; build or resume them if they are not complete.

    Raises:
        BadValueError: a file is broken.
        UnsupportedError: faiss is not installed.
        OSError: the disk is full, or fails.
    """
    faiss = _faiss()
    folder = index.folder / "lists"
    make_folder(folder)
    complete, blocks = folder / "index.faiss", _blocks(index)
    if not complete.exists() or any(block.exists() for block in blocks):
        with (folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be building the same lists
            if not complete.exists():
                _build(index, complete, progress, faiss)
            for left in (*blocks, *folder.glob("*.tmp")):
                left.unlink(missing_ok=True)
    return _read(complete, faiss, faiss.IO_FLAG_MMAP)


def _blocks(index: Index) -> list[Path]:
    return [index.folder / f"lists/{n:05d}.faiss" for n in range(len(index.arrays))]


def _build(index: Index, complete: Path, progress: Progress, faiss: Any) -> None:
    """Write all lists to ``complete``, with whatever of them is there already."""
    centres, blocks = complete.with_name("centres.faiss"), _blocks(index)
    if not centres.exists():
        progress(0, len(blocks), "parts in lists")
        _write(_trained(index, faiss), centres, faiss)
    for n, block in enumerate(blocks):
        if not block.exists():
            _write(_filled(index, n, _read(centres, faiss)), block, faiss)
        progress(n + 1, len(blocks), "parts in lists")
    _write(_merge(_read(centres, faiss), blocks, faiss), complete, faiss)


def _trained(index: Index, faiss: Any) -> Any:
    """Empty lists with their centres, about twice the root of the number of rows."""
    count = min(MOST_CENTRES, len(index) // PER_CENTRE + 1, round(2 * math.sqrt(len(index))))
    rows = np.random.default_rng(0).permutation(len(index))[: PER_CENTRE * count]
    sample = [_rows(index, n, rows) for n in range(len(index.arrays))]
    lists = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(index.width),
        index.width,
        count,
        faiss.ScalarQuantizer.QT_8bit,
        faiss.METRIC_INNER_PRODUCT,
    )
    lists.cp.min_points_per_centroid = 1  # no warning about small ones
    lists.train(np.concatenate(sample).astype(np.float32))
    return lists


def _array(index: Index, part: int) -> NDArray[np.float16]:
    """A part's vectors, read and not mapped: the mapped pages of all parts would stay in memory."""
    return np.load(vectors_file(index.folder, part), allow_pickle=False)


def _rows(index: Index, part: int, rows: NDArray[np.int64]) -> NDArray[np.float16]:
    """The vectors of those rows that are in a part."""
    first, last = index.starts[part : part + 2]
    return _array(index, part)[rows[(rows >= first) & (rows < last)] - first]


def _filled(index: Index, part: int, lists: Any) -> Any:
    """The lists with the rows of a part."""
    array, start = _array(index, part), int(index.starts[part])
    for first in range(0, len(array), 8192):
        rows = array[first : first + 8192].astype(np.float32)
        numbers = np.arange(start + first, start + first + len(rows))
        lists.add_with_ids(rows, numbers)
    return lists


def _merge(lists: Any, blocks: list[Path], faiss: Any) -> Any:
    """The lists with the rows of all parts."""
    for block in blocks:
        lists.merge_from(_read(block, faiss), 0)
    return lists


def _write(lists: Any, file: Path, faiss: Any) -> None:
    """Write another file, sync it, and name it: as bytes, the lists would be held twice."""
    aside = file.with_suffix(".tmp")
    try:
        faiss.write_index(lists, str(aside))
    except RuntimeError as error:
        aside.unlink(missing_ok=True)
        raise OSError(None, "the lists cannot be written", str(file)) from error
    with aside.open("rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(aside, file)
    sync_folder(file.parent)


def _read(file: Path, faiss: Any, flags: int = 0) -> Any:
    try:
        return faiss.read_index(str(file), flags)
    except RuntimeError as error:
        raise BadValueError(
            f"{str(file)!r} is broken; delete the folder {str(file.parent)!r}, and run the same"
            " command again"
        ) from error


def _faiss() -> Any:
    return require("faiss", extra="index", purpose="searching a large index by lists")
