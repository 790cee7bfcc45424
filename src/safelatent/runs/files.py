"""Bytes onto the disk, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write_whole(file: Path, data: bytes) -> Path:
    """``write_parts`` of one part."""
    return write_parts(file, [data])


def write_parts(file: Path, parts: Iterable[bytes]) -> Path:
    """Write ``parts`` aside, one after the other as they come, sync them, rename to ``file``, sync the folder; returns the file.

    Raises:
        OSError: the folder cannot be made or written; nothing half-written stays.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.writelines(parts)
            stream.flush()
            os.fsync(stream.fileno())
        Path(aside).chmod(0o644)
        os.replace(aside, file)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    _sync_folder(file.parent)
    return file


def _sync_folder(folder: Path) -> None:
    """The new name itself must survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
