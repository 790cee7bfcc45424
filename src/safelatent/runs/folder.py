"""A run's folder: where everything in it is, its database, and what may not be in either.

    FOLDER/run.sqlite      settings, prompts, one row per item: the row is the commit
    FOLDER/images/ab/...   PNG files, named by their item's key
    FOLDER/scores.csv      the score table
    FOLDER/lock            held by the one process that writes

A folder may come from a stranger. The tables, with the rules about their values, must be this
version's to the letter, every value is checked when it is read, and nothing outside the folder is
read or written.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from safelatent.errors import BadValueError, SafelatentError
from safelatent.prompts import Prompt, PromptSet
from safelatent.runs.plan import Extent, RunPlan
from safelatent.runs.settings import RunSettings
from safelatent.text import one_line, squeezed

FORMAT = 4
_AGAIN = "fix the cause and run the same command again"
SAVED = f"completed images are saved; {_AGAIN} to resume"
_KEY = re.compile("[0-9a-f]{64}")
# What holds of every item, whoever wrote the database: SQLite takes any value in any column.
_RULES = (
    "typeof(key) = 'text' AND length(key) = 64 AND key NOT GLOB '*[^0-9a-f]*'",
    "typeof(prompt_id) = 'text' AND typeof(method) = 'text' AND typeof(verdicts) = 'text'",
    "typeof(image) = 'integer' AND image >= 0",
    "label IN ('safe', 'inappropriate', 'unusable', 'error')",
    "typeof(receipt) IN ('text', 'null') AND typeof(reason) IN ('text', 'null')",
    "has_image IN (0, 1)",
    "typeof(distance) IN ('real', 'null') AND ifnull(distance, 0) BETWEEN 0 AND 1",
)
_SCHEMA = (
    "CREATE TABLE run (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE prompts (
    position INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, value TEXT NOT NULL
)""",
    f"""CREATE TABLE items (
    key TEXT PRIMARY KEY, prompt_id TEXT NOT NULL REFERENCES prompts (id), image INTEGER NOT NULL,
    method TEXT NOT NULL, label TEXT NOT NULL, verdicts TEXT NOT NULL, receipt TEXT, reason TEXT,
    has_image INTEGER NOT NULL, distance REAL,
    UNIQUE (prompt_id, image, method), {", ".join(f"CHECK ({rule})" for rule in _RULES)}
) WITHOUT ROWID""",
)
_BROKEN = " OR ".join(f"NOT ifnull({rule}, 0)" for rule in _RULES)


class RunError(SafelatentError):
    """A run's folder cannot be used, read or written; completed images stay in it."""


def database_file(folder: Path) -> Path:
    """Return where settings, prompts and rows are.

    Raises:
        RunError: it is a link.
    """
    return _own(folder / "run.sqlite")


def image_file(folder: Path, key: str) -> Path:
    """Return where the image of an item is.

    Raises:
        RunError: the key is not a sha256, or the place is a link, which may lead outside.
    """
    if not _KEY.fullmatch(key):
        raise RunError(f"{folder} is damaged: {key[:80]!r} cannot be the key of an image")
    images = _own(folder / "images")
    return _own(_own(images / key[:2]) / f"{key}.png")


def _own(place: Path) -> Path:
    if place.is_symlink():
        raise RunError(
            f"{place} is a link; everything of a run is in its own folder: move the whole folder"
        )
    return place


def again(folder: Path) -> str:
    """Return what to do after a failure, and, if there are images, that they are saved."""
    with suppress(OSError):
        if any((folder / "images").glob("*/*.png")):
            return SAVED
    return _AGAIN


@contextmanager
def folder_errors(folder: Path) -> Iterator[None]:
    """Turn errors of disk and database into one line that says what is saved.

    Raises:
        RunError: naming the folder and the cause.
    """
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written: {error.strerror or error}; {again(folder)}"
        ) from error
    except sqlite3.Error as error:
        raise RunError(f"{folder / 'run.sqlite'}: {error}; {again(folder)}") from error


@contextmanager
def damage(folder: Path, what: str) -> Iterator[None]:
    """Turn whatever a stored value breaks into one line.

    Raises:
        RunError: naming the folder, ``what`` of it, and the cause.
    """
    try:
        yield
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise RunError(f"{folder} is damaged: {what}: {one_line(error)[:300]}") from error


def lock(folder: Path) -> IO[str]:
    """Take the folder for this process alone, until the handle is closed or the process dies.

    Raises:
        RunError: the folder cannot be made, or another process writes to it.
    """
    with folder_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = _own(folder / "lock").open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        owner = handle.read().strip() or "unknown"
        handle.close()
        raise RunError(
            f"{folder} is being written by another process (number {owner});"
            " wait for it, or name another --out"
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def connect(folder: Path) -> sqlite3.Connection:
    """Open the database to write; it is made if it is not there."""
    file = database_file(folder)
    # An engine saves batches in a thread other than the one that opened the database.
    database = sqlite3.connect(file, timeout=30, check_same_thread=False)
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    return database


def read_only(folder: Path) -> sqlite3.Connection:
    """Open the database to read, also while another connection writes."""
    file, log = database_file(folder).absolute(), _own(folder / "run.sqlite-wal")
    # SQLite makes files beside a database that it reads. Where it may not, and nobody writes, it
    # has to know that nothing changes.
    still = not os.access(folder, os.W_OK) and not (log.exists() and log.stat().st_size)
    option = "immutable=1" if still else "mode=ro"
    database = sqlite3.connect(f"{file.as_uri()}?{option}", uri=True)
    database.execute("PRAGMA trusted_schema = OFF")
    return database


def create_tables(database: sqlite3.Connection) -> None:
    """Make the tables, inside the transaction that is open."""
    for statement in _SCHEMA:
        database.execute(statement)


def stored_plan(folder: Path, database: sqlite3.Connection) -> RunPlan | None:
    """Return the plan of the run in the database; None if it was never begun.

    Raises:
        BadValueError: it is another version's.
        RunError: it is damaged.
    """
    tables = database.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL").fetchall()
    if not tables:
        return None
    with damage(folder, "the settings"):
        has_settings = "run" in dict(tables)
        stored = database.execute("SELECT name, value FROM run") if has_settings else ()
        values = {name: json.loads(value) for name, value in stored}
    if values.get("format") != FORMAT:
        raise BadValueError(
            f"the run in {str(folder)!r} is of format {values.get('format')!r}, this version reads"
            f" {FORMAT}; use the version that made it"
        )
    _check(folder, database, tables)
    with damage(folder, "the settings"):
        settings, counted = RunSettings.from_dict(values["settings"]), values["prompt_set"]
        earlier = tuple(
            Extent(**{**one, "methods": tuple(one["methods"])}) for one in values["earlier"]
        )
    with damage(folder, "the prompts"):
        found = database.execute("SELECT id, value FROM prompts ORDER BY position")
        prompts = PromptSet(
            name=settings.prompts,
            prompts=tuple(_prompt(one, value) for one, value in found),
            rows=counted["rows"],
            skipped=counted["skipped"],
        )
        if prompts.digest != settings.prompts_digest:
            raise ValueError("they are not those of the settings")
        plan = RunPlan(settings=settings, prompts=prompts, earlier=earlier)
        if not all(later.covers(one) for one, later in pairwise((*earlier, plan.extent))):
            raise ValueError("a run grows, and this one shrank")
    return plan


def store_plan(database: sqlite3.Connection, plan: RunPlan) -> None:
    """Write a plan in the place of the one that is there, inside the transaction that is open."""
    counted = {"rows": plan.prompts.rows, "skipped": dict(plan.prompts.skipped)}
    values = {
        "format": FORMAT,
        "settings": plan.settings.as_dict(),
        "prompt_set": counted,
        "earlier": [asdict(extent) for extent in plan.earlier],
    }
    rows = ((n, prompt.id, as_json(asdict(prompt))) for n, prompt in enumerate(plan.prompts))
    database.executemany(
        "INSERT OR REPLACE INTO run VALUES (?, ?)", [(k, as_json(v)) for k, v in values.items()]
    )
    database.execute("DELETE FROM prompts")
    database.executemany("INSERT INTO prompts VALUES (?, ?, ?)", rows)


def as_json(value: Any) -> str:
    """Return plain values as ASCII text, the same text for the same values."""
    return json.dumps(value, ensure_ascii=True, sort_keys=True)


def _check(folder: Path, database: sqlite3.Connection, tables: list[tuple[str, str]]) -> None:
    """Refuse tables that are not this version's, and values that break their rules."""
    if sorted(sql for _, sql in tables) != sorted(_SCHEMA):
        raise RunError(f"{folder} is damaged: its tables are not those of a run")
    # quick_check reads every page, but on a connection that only reads it leaves the rules out.
    [[found]] = database.execute("PRAGMA quick_check(1)").fetchall()
    if found != "ok":
        raise RunError(f"{folder} is damaged: {squeezed(found)[:300]}")
    query = f"SELECT key FROM items WHERE {_BROKEN} LIMIT 1"  # noqa: S608  # ours alone
    if (broken := database.execute(query).fetchone()) is not None:
        raise RunError(f"{folder} is damaged: the row of the key {str(broken[0])[:80]!r}")
    if (stranger := database.execute("PRAGMA foreign_key_check").fetchone()) is not None:
        raise RunError(f"{folder} is damaged: a row of {stranger[0]} is of no prompt of the run")


def _prompt(name: str, value: str) -> Prompt:
    values = json.loads(value)
    prompt = Prompt(**{**values, "categories": tuple(values["categories"])})
    if prompt.id != name:
        raise ValueError(f"the prompt {name!r:.80} has the id {prompt.id!r:.80}")
    return prompt
