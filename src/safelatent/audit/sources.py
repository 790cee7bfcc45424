"""Where images or their embeddings lie, in parts that can be read one by one.

    a folder of images            PNG, JPEG, WebP, ...; with its subfolders
    .tar, or a folder of them     WebDataset: the images inside
    .npy, or a folder of them     embeddings (N, D); LAION's layout has img_emb/ and metadata/
    .parquet, or a folder         embeddings in a column of lists, with id, caption, url, NSFW

Tables without embeddings beside tars or images are metadata, and not read.

A source says where everything is; it keeps no picture and no embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from safelatent.detectors.images import SUFFIXES
from safelatent.errors import BadValueError
from safelatent.hashing import digest
from safelatent.storage import place

if TYPE_CHECKING:
    from PIL import Image

    from safelatent.features import Extractor

ARRAYS = "img_emb"  # the folder of the arrays in LAION's layout
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class FilePart:
    """Rows ``start`` to before ``stop`` of a file; for images, their names; for parquet, the row
    group.
    """

    file: Path
    start: int
    stop: int
    names: tuple[str, ...] = ()
    group: int = 0

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """A part's embeddings (n, D).

    Attributes:
        broken: rows that could not be read, NaN in ``vectors``, and why.
    """

    part: FilePart
    vectors: Floats
    broken: Mapping[int, str]


class Source(Protocol):
    """Rows with embeddings, in parts.

    Attributes:
        path: as it was given.
        has_images: whether ``image`` returns pictures.
    """

    path: Path
    has_images: bool

    def parts(self) -> list[FilePart]:
        """List all parts, in a fixed order."""
        ...

    def fingerprint(self) -> str:
        """Return a hash of what an index of this source depends on."""
        ...

    def read(self, parts: Sequence[FilePart]) -> Iterator[Read]:
        """Yield the embeddings of each of these parts, which are in the order of ``parts``."""
        ...

    def image(self, part: FilePart, row: int) -> Image.Image | BadValueError:
        """Return the picture of a row, or why there is none."""
        ...

    def facts(self, part: FilePart, rows: Sequence[int]) -> list[Mapping[str, Any]]:
        """Return what is known of these rows: name, id, caption, url, flag."""
        ...


def open_source(
    path: str | Path,
    extractor: Extractor,
    *,
    column: str | None = None,
    flag_column: str | None = None,
) -> Source:
    """Return the source at ``path``.

    Args:
        path: a folder or a file, as the module describes.
        extractor: embeds images; embeddings that are there already must be of this CLIP.
        column: of the embeddings in parquet; None takes the only column of lists of numbers.
        flag_column: of the metadata; None takes ``NSFW`` or ``punsafe`` if there is one.

    Raises:
        BadValueError: there is nothing of these kinds, or more than one of them, or a file is not
            what its name says.
        UnsupportedError: pyarrow is needed and not installed.
    """
    from safelatent.audit.embeddings import NpyEmbeddings, ParquetEmbeddings
    from safelatent.audit.pictures import PictureFolder, TarPictures

    root = place(path, "the data")
    if not root.exists():
        raise BadValueError(
            f"there is no {str(path)!r} to take the data from; name a folder or a file"
        )
    if column is not None and not list_files(root, ".parquet"):
        raise BadValueError(
            f"column is {column!r}, and {str(path)!r} holds no parquet; leave it out"
        )
    [(kind, files)] = _data(root).items()
    if kind == ".npy":
        return NpyEmbeddings(path=root, files=files, flag_column=flag_column)
    if kind == ".parquet":
        return ParquetEmbeddings(path=root, files=files, column=column, flag_column=flag_column)
    if flag_column is not None:
        raise BadValueError(
            f"flag_column is {flag_column!r}, and {str(path)!r} holds images, which detectors"
            " judge; leave it out"
        )
    source = TarPictures if kind == ".tar" else PictureFolder
    return source(path=root, files=files, extractor=extractor)


def _data(root: Path) -> dict[str, tuple[Path, ...]]:
    """Return the one kind of data at ``root``, and its files.

    Raises:
        BadValueError: there is none, or more than one: whatever was chosen, the rest would be left
            out silently.
    """
    from safelatent.audit.embeddings import holds_embeddings

    if arrays := list_files(root / ARRAYS, ".npy"):
        return {".npy": arrays}
    found = {kind: list_files(root, kind) for kind in (".npy", ".parquet", ".tar")}
    found["images"] = list_files(root, *SUFFIXES, deep=True) if root.is_dir() else ()
    found = {kind: files for kind, files in found.items() if files}
    tables = found.get(".parquet", ())
    if len(found) > 1 and not any(map(holds_embeddings, tables)):
        found.pop(".parquet", None)  # metadata, as img2dataset writes them beside tars and images
    if not found:
        raise BadValueError(
            f"{str(root)!r} holds no images, .tar, .npy or .parquet; name a folder or a file of"
            " one of these kinds"
        )
    if len(found) > 1:
        raise BadValueError(
            f"{str(root)!r} holds {' and '.join(found)}, and one audit reads one kind; name a"
            " single file, or move the others to another folder"
        )
    return found


def list_files(root: Path, *endings: str, deep: bool = False) -> tuple[Path, ...]:
    """Return the files with these endings, sorted; a file alone if it has one of them."""
    if root.is_file():
        return (root,) if root.suffix.lower() in endings else ()
    found = root.rglob("*") if deep else root.glob("*")
    return tuple(sorted(one for one in found if one.suffix.lower() in endings and one.is_file()))


def files_fingerprint(files: Sequence[Path], **others: Any) -> str:
    """Return a hash of names, sizes and times of files, and of plain values."""
    stats = [(str(file), (s := file.stat()).st_size, s.st_mtime_ns) for file in files]
    return digest({"files": stats, **others})


def cut(
    file: Path, start: int, stop: int, size: int, names: Sequence[str] = (), group: int = 0
) -> Iterator[FilePart]:
    """Yield parts of at most ``size`` rows."""
    for first in range(start, stop, size):
        last = min(first + size, stop)
        yield FilePart(
            file=file,
            start=first,
            stop=last,
            names=tuple(names[first:last]),
            group=group,
        )
