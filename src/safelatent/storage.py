"""Places on the disk, and bytes onto it, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from safelatent.errors import BadValueError


def place(path: str | Path, name: str = "the path") -> Path:
    """Return ``path`` as a ``Path``; ``name`` is what a message calls it.

    Raises:
        BadValueError: it is empty, which ``Path`` would take for the current folder.
    """
    if not str(path).strip():
        raise BadValueError(f"{name} is empty; name a file or a folder")
    return Path(path)


def check_target_folder(folder: Path, name: str = "the folder", given: Path | None = None) -> None:
    """Refuse, before the work and not after it, a folder that cannot be made or written to.

    Access rights do not tell: a folder is made there for a moment.

    Args:
        name: what a message calls it.
        given: what was named, if it is not the folder itself.

    Raises:
        BadValueError: naming what is in the way.
    """
    said = f"{name} is {str(given or folder)!r}, and"
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir():
        raise BadValueError(f"{said} {existing} is not a folder; give another place")
    try:
        Path(tempfile.mkdtemp(dir=existing, prefix=".safelatent-")).rmdir()
    except OSError as error:
        reason = error.strerror or error
        raise BadValueError(
            f"{said} nothing can be written to {existing} ({reason}); give another place"
        ) from None


def check_target(target: Path, suffix: str) -> None:
    """Refuse a file to write whose name has another suffix, or that exists.

    Raises:
        BadValueError: naming the file.
    """
    if target.suffix != suffix:
        raise BadValueError(f"the target is {str(target)!r}; its name must end in {suffix}")
    if target.exists():
        raise BadValueError(f"{str(target)!r} exists already; name another file")


def write_whole(file: Path, data: bytes, *, mode: int = 0o644) -> Path:
    """Write ``data`` as ``write_parts`` does; return the file."""
    return write_parts(file, [data], mode=mode)


def write_parts(file: Path, parts: Iterable[bytes], *, mode: int = 0o644) -> Path:
    """Write ``parts`` to another name, one after the other as they come, sync them, rename to
    ``file``, sync the folder; return the file. At no moment may others do more than ``mode`` says.

    Raises:
        OSError: the folder cannot be made or written; nothing half-written stays.
    """
    make_folder(file.parent)
    handle, aside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.writelines(parts)
            stream.flush()
            os.fsync(stream.fileno())
        Path(aside).chmod(mode)
        os.replace(aside, file)
    except BaseException as error:
        Path(aside).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(file)  # a write that fails does not say of which file
        raise
    sync_folder(file.parent)
    return file


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut.

    Raises:
        OSError: the disk is full, or fails.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make the folder and those above it; their names survive a power cut too."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
