"""A run's folder: images as files, everything else in SQLite. Knows bytes and rows; does not know
how images are made.

    FOLDER/run.sqlite      settings, prompts, one row an item: the row is the commit
    FOLDER/images/ab/...   PNG files, named by their item's key
    FOLDER/lock            held by the one process that writes

A batch is written as: encoded in memory, each file aside, synced and renamed, then all its rows in
one transaction (WAL, full sync). A kill at any moment leaves files without rows at worst; they are
written over when their batch is done again.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from safelatent.errors import BadValueError, SafelatentError
from safelatent.prompts import PromptSet
from safelatent.runs.result import Result
from safelatent.runs.settings import RunSettings
from safelatent.storage import sync_folder, write_whole

_SCHEMA = """
CREATE TABLE run (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE prompts (position INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, value TEXT NOT NULL);
CREATE TABLE items (
    key TEXT PRIMARY KEY, prompt_id TEXT NOT NULL, image INTEGER NOT NULL, method TEXT NOT NULL,
    label TEXT NOT NULL, verdicts TEXT NOT NULL, receipt TEXT, reason TEXT, has_image INTEGER NOT NULL, distance REAL,
    UNIQUE (prompt_id, image, method)
) WITHOUT ROWID;
"""
_WITHOUT_DISTANCE = """
SELECT item.key, unguarded.key FROM items AS item JOIN items AS unguarded USING (prompt_id, image)
WHERE item.method != 'off' AND item.has_image AND item.distance IS NULL AND unguarded.method = 'off' AND unguarded.has_image
"""
FORMAT = 2
KEPT = "what was done before is safe: mend it, and give the same command to go on"


class RunError(SafelatentError):
    """A run's folder cannot be used or written; what is in it is whole."""


def image_file(folder: Path, key: str) -> Path:
    """Where the image of an item is."""
    return folder / "images" / key[:2] / f"{key}.png"


class Store:
    """The one writer of a run's folder; use it in a ``with`` block. Writes may come from any
    thread, one at a time.

    Raises:
        RunError: the folder cannot be written, or another process writes to it.
        BadValueError: the folder holds a run of other settings; the differences are named.
    """

    def __init__(self, folder: Path, settings: RunSettings, prompts: PromptSet) -> None:
        self.folder = folder
        with told(folder):
            new = [one for one in (folder, *folder.parents) if not one.exists()]
        self._lock = _lock(folder)
        try:
            self._database = _connect(folder / "run.sqlite")
            with told(folder):
                self._begin(settings, prompts)
                for one in new:
                    sync_folder(one.parent)  # its name survives a power cut too
                self._reader = read_only(folder)
                for aside in (*folder.glob("images/*/.*.tmp"), *folder.glob(".scores.csv.*.tmp")):
                    aside.unlink()  # of a process that was killed in the middle of a file
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._database.close()
        self._lock.close()

    def has(self, keys: Iterable[str]) -> bool:
        """Whether all of these items are done. To be asked in the thread that opened the store,
        also while another one writes.
        """
        return all(
            self._reader.execute("SELECT 1 FROM items WHERE key = ?", (key,)).fetchone()
            for key in keys
        )

    def counts(self) -> dict[str, int]:
        """Items by label."""
        return dict(self._database.execute("SELECT label, COUNT(*) FROM items GROUP BY label"))

    def commit(self, results: Sequence[Result]) -> None:
        """Write the results of one batch, all or none.

        Raises:
            RunError: the disk is full or the folder read-only. Everything committed before is
                whole.
        """
        with told(self.folder):
            for result in results:
                if result.png is not None:
                    write_whole(image_file(self.folder, result.key), result.png)
            with self._database:
                self._database.executemany(
                    "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                    map(_row, results),
                )

    def set_distances(self, distances: Mapping[str, float | None]) -> None:
        """Distance to the unguarded image, by key."""
        with told(self.folder), self._database:
            self._database.executemany(
                "UPDATE items SET distance = ? WHERE key = ?",
                [(d, key) for key, d in distances.items()],
            )

    def without_distance(self, *place: str | int) -> list[tuple[str, str]]:
        """Keys of guarded images that have no distance yet, each with the key of its unguarded
        image, where that is done.

        Args:
            place: a prompt's id and an image's number; without them, of the whole run.
        """
        where = "AND item.prompt_id = ? AND item.image = ?" if place else ""
        return self._database.execute(
            f"{_WITHOUT_DISTANCE} {where} ORDER BY item.key", place
        ).fetchall()

    def _begin(self, settings: RunSettings, prompts: PromptSet) -> None:
        stored = stored_settings(self._database)
        if stored is None:
            self._create(settings, prompts)
            return
        differences = settings.differences(stored)
        if differences:
            raise BadValueError(
                f"{self.folder} holds a run of other settings ({'; '.join(differences)}); give the same settings to go on, or another --out"
            )

    def _create(self, settings: RunSettings, prompts: PromptSet) -> None:
        counted = {"rows": prompts.rows, "skipped": dict(prompts.skipped)}
        values = {"format": FORMAT, "settings": settings.as_dict(), "prompt_set": counted}
        with self._database:
            self._database.execute(
                "BEGIN"
            )  # Python opens a transaction for rows, not for tables: a kill would leave half a database
            for statement in _SCHEMA.split(";"):
                self._database.execute(statement)
            self._database.executemany(
                "INSERT INTO run VALUES (?, ?)", [(k, _json(v)) for k, v in values.items()]
            )
            rows = ((n, prompt.id, _json(asdict(prompt))) for n, prompt in enumerate(prompts))
            self._database.executemany("INSERT INTO prompts VALUES (?, ?, ?)", rows)


def _lock(folder: Path) -> IO[str]:
    """The folder, made when it is not there, for this process alone until the handle is closed or
    the process dies.
    """
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / "lock").open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        owner = handle.read().strip() or "unknown"
        handle.close()
        raise RunError(
            f"{folder} is being written by another process (number {owner}); wait for it, or give another --out"
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def _connect(file: Path) -> sqlite3.Connection:
    with told(file.parent):
        database = sqlite3.connect(
            file, timeout=30, check_same_thread=False
        )  # an engine keeps batches in a thread of its own
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        return database


def read_only(folder: Path) -> sqlite3.Connection:
    """The database of a run, for who only reads it, also while another connection writes."""
    file, log = (folder / "run.sqlite").absolute(), folder / "run.sqlite-wal"
    # Reading it, SQLite makes files beside it. Where it may not, and nobody writes, it has to be
    # told that nothing changes.
    still = not os.access(folder, os.W_OK) and not (log.exists() and log.stat().st_size)
    return sqlite3.connect(f"{file.as_uri()}?{'immutable=1' if still else 'mode=ro'}", uri=True)


@contextmanager
def told(folder: Path):
    """Errors of disk and database as one line that says what is safe."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror or error}; {KEPT}") from error
    except sqlite3.Error as error:
        raise RunError(f"{folder / 'run.sqlite'}: {error}; {KEPT}") from error


def stored_settings(database: sqlite3.Connection) -> RunSettings | None:
    """Those of the run in the database; None where there is none yet."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'run'").fetchone():
        return None
    values = {
        name: json.loads(value) for name, value in database.execute("SELECT name, value FROM run")
    }
    if values.get("format") != FORMAT:
        raise BadValueError(
            f"the run is of format {values.get('format')}, this version reads {FORMAT}; use the version that made it"
        )
    return RunSettings.from_dict(values["settings"])


def _row(result: Result) -> tuple[Any, ...]:
    receipt = None if result.receipt is None else _json(result.receipt)
    which = (result.key, result.prompt_id, result.image, result.method)
    return (
        *which,
        result.label,
        _json(result.verdicts),
        receipt,
        result.reason,
        int(result.png is not None),
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, sort_keys=True)
