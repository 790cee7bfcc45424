"""Where pictures come from: files of a folder, and rows of parquet files."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from safelatent.detectors.images import SUFFIXES, decode_image, open_image
from safelatent.errors import BadValueError
from safelatent.hashing import file_digest
from safelatent.optional import require
from safelatent.text import squeezed

PARQUET = ".parquet"
_LOG = logging.getLogger("safelatent")
_COLUMNS = ("image", "jpg", "png", "webp", "img")  # where pictures are, by the usual names


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A picture in a parquet file: which row group, and which row of it."""

    file: Path
    column: str
    group: int
    row: int

    def __str__(self) -> str:
        return f"{self.file}, row group {self.group}, row {self.row}"

    def data(self) -> bytes:
        """Return the encoded picture; nothing if the row is empty."""
        return _group(self.file, self.column, self.group)[self.row] or b""


Picture = Path | Packed


def pictures_in(place: Path) -> list[Picture]:
    """Return the pictures of a parquet file, or of a folder with its subfolders: its image files,
    and those in its parquet files. A parquet file without pictures beside others is metadata;
    links to folders are not followed.

    Raises:
        BadValueError: a parquet file is broken, or none has a column of pictures.
        UnsupportedError: pyarrow is not installed, and there is a parquet file.
    """
    if place.is_file():
        return list(_packed(place))
    files = sorted(file for file in place.rglob("*") if file.is_file())
    found: list[Picture] = [file for file in files if file.suffix.lower() in SUFFIXES]
    tables = [file for file in files if file.suffix.lower() == PARQUET]
    for file in tables:
        found += _packed(file, required=False)
    return found or [one for file in tables[:1] for one in _packed(file)]


def open_picture(picture: Picture) -> Image.Image:
    """Return the picture in RGB, as ``open_image`` does.

    Raises:
        BadValueError: it cannot be read.
    """
    if isinstance(picture, Path):
        return open_image(picture)
    return decode_image(picture.data(), str(picture))


def picture_digest(picture: Picture) -> str:
    """Return the sha256 of the encoded picture.

    Raises:
        BadValueError: the file is gone.
    """
    if isinstance(picture, Packed):
        return hashlib.sha256(picture.data()).hexdigest()
    try:
        state = picture.stat()
        return _digest_at(picture, (state.st_size, state.st_mtime_ns))
    except OSError as error:
        raise BadValueError(
            f"{str(picture)!r} cannot be read ({error.strerror}); check its name and permissions"
        ) from error


def _packed(file: Path, *, required: bool = True) -> list[Packed]:
    parquet = require("pyarrow.parquet", extra="bench", purpose="a parquet file of images")
    try:
        opened = parquet.ParquetFile(file)
        column = _column(opened.schema_arrow)
        sizes = [opened.metadata.row_group(n).num_rows for n in range(opened.num_row_groups)]
    except (OSError, ValueError) as error:  # pyarrow's own errors are among them
        raise BadValueError(f"{str(file)!r} is not a parquet file ({squeezed(error)})") from error
    if column is None:
        why = (
            f"{str(file)!r} has no column of encoded pictures (its columns:"
            f" {', '.join(opened.schema_arrow.names)})"
        )
        if required:
            raise BadValueError(f"{why}; give one with the bytes of PNG, JPEG or WebP files")
        _LOG.info("%s, and is not read", why)
        return []
    return [
        Packed(file=file, column=column, group=group, row=row)
        for group, size in enumerate(sizes)
        for row in range(size)
    ]


def _column(schema: Any) -> str | None:
    """The column of pictures: bytes, or a struct with bytes in it, as data sets are published."""
    types = require("pyarrow.types", extra="bench", purpose="a parquet file of images")

    def is_bytes(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(field.name == "bytes" and is_bytes(field.type) for field in kind)
        return types.is_binary(kind) or types.is_large_binary(kind)

    found = [field.name for field in schema if is_bytes(field.type)]
    return next((name for name in _COLUMNS if name in found), found[0] if found else None)


@lru_cache(maxsize=2**18)
def _digest_at(file: Path, _state: tuple[int, int]) -> str:
    """The digest of a file of this size and time; every extractor asks for it again."""
    return file_digest(file)


@lru_cache(maxsize=1)
def _group(file: Path, column: str, group: int) -> list[bytes | None]:
    """The encoded pictures of a row group; the last one is kept, since rows are read in order."""
    parquet = require("pyarrow.parquet", extra="bench", purpose="a parquet file of images")
    try:
        rows = parquet.ParquetFile(file).read_row_group(group, columns=[column])[column].to_pylist()
    except (OSError, ValueError) as error:
        raise BadValueError(f"{str(file)!r} cannot be read ({squeezed(error)})") from error
    return [row["bytes"] if isinstance(row, dict) else row for row in rows]
