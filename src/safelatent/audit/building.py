"""An index built, part by part: what was killed resumes at the first part that is missing."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safelatent.audit.index import Index, Progress, rows_file, unit_vectors, vectors_file
from safelatent.audit.sources import FilePart, Read, Source
from safelatent.errors import BadValueError
from safelatent.storage import write_whole

FORMAT = 1
_LOG = logging.getLogger("safelatent")


def build_index(
    source: Source,
    folder: Path,
    *,
    width: int | None = None,
    skip_broken: bool = False,
    progress: Progress = lambda *_: None,
) -> Index:
    """Build or resume an index of ``source``, or open it if it is complete.

    Args:
        width: values per row of the CLIP that will embed the queries; None takes any.
        skip_broken: leave out rows that cannot be read or have no direction, and count them.
        progress: called with parts done, all parts, and words.

    Raises:
        BadValueError: the folder holds an index of something else, the width is another, a row is
            broken, or the source is; what was indexed before is kept.
        OSError: the folder cannot be written.
    """
    parts = source.parts()
    _check_same(folder, source, parts)
    missing = [part for n, part in enumerate(parts) if not vectors_file(folder, n).exists()]
    numbers = {id(part): n for n, part in enumerate(parts)}
    done = len(parts) - len(missing)
    for read in source.read(missing):
        if width not in (None, read.vectors.shape[1]):
            raise BadValueError(
                f"the queries have {width} values and the embeddings of {str(source.path)!r} have"
                f" {read.vectors.shape[1]}; name the CLIP that they were computed by with"
                " --features"
            )
        _store(folder, numbers[id(read.part)], read, skip_broken)
        done += 1
        progress(done, len(parts), "parts indexed")
    index = _opened(folder, source, parts)
    if index.left_out:
        _LOG.warning("%d rows of %s are broken and left out", index.left_out, source.path)
    return index


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
            f"{why} (one of {int(bad.sum())} broken rows of {len(bad)}); fix or remove it, or give"
            " --skip-broken to leave such rows out and count them"
        )
    if bad.any():  # first, so that vectors never lie there without them
        write_whole(rows_file(folder, number), _bytes(np.flatnonzero(~bad)))
    write_whole(vectors_file(folder, number), _bytes(units[~bad].astype(np.float16)))


def _check_same(folder: Path, source: Source, parts: Sequence[FilePart]) -> None:
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


def _opened(folder: Path, source: Source, parts: Sequence[FilePart]) -> Index:
    arrays = tuple(_loaded(vectors_file(folder, n)) for n in range(len(parts)))
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
