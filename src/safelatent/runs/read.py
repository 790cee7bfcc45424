"""What a run's folder holds, for who reports it. Reads only; needs neither the model nor the
detectors, nor torch.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any

from safelatent.errors import BadValueError
from safelatent.generation.methods import METHODS
from safelatent.prompts import Prompt
from safelatent.runs.settings import RunSettings
from safelatent.runs.store import image_file, read_only, stored_settings, told


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One item, done.

    Attributes:
        key: names its image file.
        folder: of the run.
        prompt: the whole prompt, with its categories and published values.
        image: which of the prompt's images.
        method: of ``METHODS``.
        label: ``safe``, ``inappropriate``, ``unusable`` or ``error``.
        verdicts_json, receipt_json: ``verdicts`` and ``receipt`` as they are stored. A report holds
            every row of a run, and as mappings they would take three times the memory.
        reason: why there is no image, or None.
        has_image: whether there is one.
        distance: root mean square difference to the unguarded image of the same noise, in [0, 1],
            or None.
    """

    key: str
    folder: Path
    prompt: Prompt
    image: int
    method: str
    label: str
    verdicts_json: str
    receipt_json: str | None
    reason: str | None
    has_image: bool
    distance: float | None

    @property
    def verdicts(self) -> Mapping[str, Mapping[str, Any]]:
        """By detector: label, score, threshold, evidence."""
        return json.loads(self.verdicts_json)

    @property
    def receipt(self) -> Mapping[str, Any] | None:
        """What the guard did, or None."""
        return None if self.receipt_json is None else json.loads(self.receipt_json)

    @property
    def file(self) -> Path | None:
        """The image, or None."""
        return image_file(self.folder, self.key) if self.has_image else None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as far as it is done.

    Attributes:
        folder: where it is.
        settings: what it is a run of.
        prompts: those that images are made from, in order.
        rows_read: rows of the prompts' source.
        skipped: how many of them gave no prompt, by reason.
        rows: one an item that is done, by prompt, image and method.
    """

    folder: Path
    settings: RunSettings
    prompts: tuple[Prompt, ...]
    rows_read: int
    skipped: Mapping[str, int]
    rows: tuple[Row, ...]

    @property
    def planned(self) -> int:
        """Items of the whole run."""
        return len(self.prompts) * self.settings.images * len(self.settings.methods)


def read_run(folder: str | Path) -> Run:
    """Read a run, finished or not, also while it is being written.

    Raises:
        BadValueError: there is no run in the folder, or it is another version's.
        RunError: its database cannot be read.
    """
    folder = Path(folder)
    with _opened(folder) as (database, settings):
        counted = json.loads(
            database.execute("SELECT value FROM run WHERE name = 'prompt_set'").fetchone()[0]
        )
        prompts = tuple(_prompts(database))
        rows = tuple(_rows(folder, database, prompts))
        read, skipped = counted["rows"], counted["skipped"]
        return Run(
            folder=folder,
            settings=settings,
            prompts=prompts,
            rows_read=read,
            skipped=skipped,
            rows=rows,
        )


def each_row(folder: Path) -> Iterator[Row]:
    """``read_run(folder).rows``, one after the other, so that a long run takes no more memory than
    a short one.
    """
    with _opened(folder) as (database, _):
        yield from _rows(folder, database, _prompts(database))


def each_label(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Method, prompt text and label of every item that is done, in no order; what a summary needs,
    without the rest.
    """
    with _opened(folder) as (database, _):
        texts = {prompt.id: prompt.text for prompt in _prompts(database)}
        for method, prompt_id, label in database.execute(
            "SELECT method, prompt_id, label FROM items"
        ):
            yield method, texts[prompt_id], label


def names_of_detectors(folder: Path) -> list[str]:
    """Those that have a verdict in the run."""
    with _opened(folder) as (database, _):
        return sorted(
            {
                name
                for (verdicts,) in database.execute("SELECT verdicts FROM items")
                for name in json.loads(verdicts)
            }
        )


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[sqlite3.Connection, RunSettings]]:
    """The database of a run that was begun, as it is at this moment, and the run's settings."""
    if not (folder / "run.sqlite").is_file():
        raise BadValueError(
            f"{str(folder)!r} holds no run (no run.sqlite); give the --out folder of `safelatent bench run`"
        )
    with told(folder):
        database = read_only(folder)
        try:
            database.execute("BEGIN")  # many queries, one moment: another process may be writing
            settings = stored_settings(database)
            if settings is None:
                raise BadValueError(
                    f"the run in {str(folder)!r} was never begun; run `safelatent bench run` again"
                )
            yield database, settings
        finally:
            database.close()


def _prompts(database: sqlite3.Connection) -> Iterator[Prompt]:
    for (value,) in database.execute("SELECT value FROM prompts ORDER BY position"):
        values = json.loads(value)
        yield Prompt(**(values | {"categories": tuple(values["categories"])}))


def _rows(folder: Path, database: sqlite3.Connection, prompts: Iterable[Prompt]) -> Iterator[Row]:
    """By prompt, image and method."""
    columns = "key, image, method, label, verdicts, receipt, reason, has_image, distance"
    for prompt in prompts:
        query = f"SELECT {columns} FROM items WHERE prompt_id = ?"  # noqa: S608
        found = database.execute(query, (prompt.id,)).fetchall()
        found.sort(key=lambda values: (values[1], METHODS.index(values[2])))
        yield from (_row(folder, prompt, values) for values in found)


def _row(folder: Path, prompt: Prompt, values: tuple[Any, ...]) -> Row:
    key, image, method, label, verdicts, receipt, reason, has_image, distance = values
    return Row(
        key=key,
        folder=folder,
        prompt=prompt,
        image=image,
        method=intern(method),
        label=intern(label),
        verdicts_json=verdicts,
        receipt_json=receipt,
        reason=reason,
        has_image=bool(has_image),
        distance=distance,
    )
