"""An audit log that loses nothing that was answered.

An entry is on the disk, synced, before ``append`` returns, so whatever is answered after that is in
the log: after kill -9, a power cut or a full disk, and with any number of processes writing.

Prompts are stored as HMAC-SHA256 under a secret key. A plain hash of a short prompt is found by
hashing guesses; a keyed hash is not, without the key. Whoever has the key can still ask whether a
prompt is in the log, and destroying the key makes them unreadable for good.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from safelatent.errors import BadValueError
from safelatent.provenance.chain import fault_of, next_entry, parse, written
from safelatent.storage import make_folder, sync_folder

LEAST_KEY = 16  # bytes
BLOCK = 1 << 16  # bytes read at once, from the end, in search of the last entry


@dataclass(frozen=True, kw_only=True)
class AuditLog:
    """A log file that any number of processes append to.

    Attributes:
        file: made with the first entry, readable by its owner alone.
        key: file of the secret key; default: the log's name with ``.key`` after it. It is made
            when it is first needed, readable by its owner alone.
        plain_prompts: store prompts as they are, without a key.
    """

    file: Path
    key: Path | None = None
    plain_prompts: bool = False

    def append(
        self, event: str, record: Mapping[str, Any], texts: Mapping[str, str | None] | None = None
    ) -> dict[str, Any]:
        """Add an entry; return it once it is on the disk.

        Args:
            event: what happened, for example ``image``.
            record: plain values about it.
            texts: added to the record by name, each as ``conceal`` returns it; None stays None.

        Raises:
            BadValueError: the last entry is damaged, the key is too short, the log or the key is
                a folder, or a value is not one that JSON has.
            OSError: the disk is full, or the file cannot be written; the log is as it was.
        """
        with _locked(self.file) as handle:
            last = self._mend(handle)
            concealed = {
                name: None if text is None else self.conceal(text)
                for name, text in (texts or {}).items()
            }
            return _add(handle, self.file, last, event, {**record, **concealed})

    def check(self) -> None:
        """Raise now what ``append`` would raise: call it before minutes of work.

        Raises:
            BadValueError, OSError: as ``append``.
        """
        with _locked(self.file) as handle:
            self._mend(handle)
            self.conceal("")

    def conceal(self, text: str) -> dict[str, str]:
        """Return what the log holds in place of ``text``: its keyed hash with the name of the key,
        or the text itself for ``plain_prompts``.

        Raises:
            BadValueError: the key is too short, or a folder.
            OSError: it cannot be read or made.
        """
        if self.plain_prompts:
            return {"text": text}
        _make_key(self._key_file)
        return self._hashed(text)

    def holds(self, concealed: Any, text: str | None) -> bool | None:
        """Return whether ``concealed`` is what the log holds in place of ``text``; None if that
        cannot be known without a key that is not here.

        Raises:
            BadValueError: the key is too short.
            OSError: it cannot be read.
        """
        if concealed is None or text is None:
            return concealed is None and text is None
        if not isinstance(concealed, Mapping):  # others may append what they like
            return False
        if "text" in concealed:
            return concealed["text"] == text
        if not self._key_file.is_file():
            return None
        hashed = self._hashed(text)
        return hashed == concealed if hashed["key"] == concealed.get("key") else None

    @property
    def _key_file(self) -> Path:
        return self.key or self.file.with_name(f"{self.file.name}.key")

    def _hashed(self, text: str) -> dict[str, str]:
        _refuse_folder("the key of the audit log", self._key_file, "--log-key")
        key = self._key_file.read_bytes()
        if len(key) < LEAST_KEY:
            raise BadValueError(
                f"{self._key_file} has {len(key)} bytes; a key has at least {LEAST_KEY}"
            )
        code = hmac.new(key, text.encode("utf-8", "surrogatepass"), sha256).hexdigest()
        return {"hmac-sha256": code, "key": sha256(key).hexdigest()[:16]}

    def _mend(self, handle: int) -> dict[str, Any] | None:
        """Return the last entry, after mending what a crash left.

        An interrupted write leaves a line without its break, of which nothing was answered. A
        complete entry is kept; in place of an incomplete one comes an entry that says so.

        Raises:
            BadValueError: the last entry is damaged.
        """
        line, rest = _tail(handle)
        last = None if line is None else parse(line)
        if line is not None and (last is None or _changed(last)):
            raise BadValueError(
                f"the last entry of {self.file} is damaged; see: safelatent audit log {self.file}"
            )
        if not rest:
            return last
        entry = parse(rest + b"\n")
        if entry is not None and fault_of(entry, last) is None:
            _put(handle, self.file, b"\n")
            return entry
        os.ftruncate(handle, os.fstat(handle).st_size - len(rest))
        record = {"bytes": len(rest), "sha256": sha256(rest).hexdigest()}
        return _add(handle, self.file, last, "incomplete entry removed", record)


def _changed(entry: Mapping[str, Any]) -> bool:
    """Whether the entry does not have the hash that it states."""
    before = {"hash": entry["previous"], "number": entry["number"] - 1}
    return fault_of(entry, before if entry["number"] > 1 else None) is not None


def _add(
    handle: int,
    file: Path,
    last: Mapping[str, Any] | None,
    event: str,
    record: Mapping[str, Any],
) -> dict[str, Any]:
    entry = next_entry(last, event, record)
    _put(handle, file, written(entry))
    return entry


def _put(handle: int, file: Path, data: bytes) -> None:
    """Write ``data`` at the end and sync it, or leave the file as it was."""
    end = os.fstat(handle).st_size
    try:
        done = 0
        while done < len(data):
            done += os.pwrite(handle, data[done:], end + done)
        os.fsync(handle)
    except OSError as error:
        with suppress(OSError):
            os.ftruncate(handle, end)
        error.filename = str(file)
        raise


def _tail(handle: int) -> tuple[bytes | None, bytes]:
    """Return the last line that has its break (None if there is none), and what follows it."""
    start, data = os.fstat(handle).st_size, b""
    while start > 0 and data.count(b"\n") < 2:
        size = min(BLOCK, start)
        start -= size
        data = os.pread(handle, size, start) + data
    *lines, rest = data.split(b"\n")
    return (lines[-1] + b"\n" if lines else None), rest


@contextmanager
def _locked(file: Path) -> Iterator[int]:
    """Hold the log for this thread of this process alone; make it if it is not there."""
    _refuse_folder("the audit log", file, "--log")
    make_folder(file.parent)
    while True:
        made = not file.exists()
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is_at(handle, file):  # renamed or removed while this process waited
                continue
            if made:
                sync_folder(file.parent)
            yield handle
            return
        finally:
            # Said, and not left to the last close: a child that this process forked meanwhile
            # has the handle too, and would keep the lock for as long as it lives.
            fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)


def _refuse_folder(what: str, file: Path, option: str) -> None:
    if file.is_dir():
        raise BadValueError(
            f"{what} {str(file)!r} is a folder; name a file, for example {option} {file / 'audit'}"
        )


def _is_at(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _make_key(file: Path) -> None:
    """Write 32 random bytes that only the owner may read, unless the file is there."""
    if file.exists():
        return
    make_folder(file.parent)
    handle, aside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_bytes(32))
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):  # another process was first; its key is the key
            os.link(aside, file)
    except OSError as error:
        error.filename = str(file)
        raise
    finally:
        Path(aside).unlink(missing_ok=True)
    sync_folder(file.parent)
