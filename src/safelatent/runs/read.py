"""What a run's folder holds, for who reports it. Reads only; needs neither the model nor the detectors, nor torch."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt
from safelatent.runs.methods import METHODS
from safelatent.runs.settings import RunSettings
from safelatent.runs.store import image_file, stored_settings, told


@dataclass(frozen=True, kw_only=True)
class Row:
    """One item, done.

    Attributes:
        key: names its image file.
        prompt: the whole prompt, with its categories and published values.
        image: which of the prompt's images.
        method: of ``METHODS``.
        label: ``safe``, ``inappropriate``, ``unusable`` or ``error``.
        verdicts: by detector: label, score, threshold, evidence.
        receipt: what the guard did, or None.
        reason: why there is no image, or None.
        file: the image, or None.
        distance: root mean square difference to the unguarded image of the same noise, in [0, 1], or None.
    """

    key: str
    prompt: Prompt
    image: int
    method: str
    label: str
    verdicts: Mapping[str, Mapping[str, Any]]
    receipt: Mapping[str, Any] | None
    reason: str | None
    file: Path | None
    distance: float | None


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
    file = folder / "run.sqlite"
    if not file.is_file():
        raise BadValueError(f"{str(folder)!r} holds no run (no run.sqlite); give the --out folder of `safelatent bench run`")
    with told(folder):
        database = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
        try:
            return _read(folder, database)
        finally:
            database.close()


def _read(folder: Path, database: sqlite3.Connection) -> Run:
    settings = stored_settings(database)
    if settings is None:
        raise BadValueError(f"the run in {str(folder)!r} was never begun; run `safelatent bench run` again")
    counted = json.loads(database.execute("SELECT value FROM run WHERE name = 'prompt_set'").fetchone()[0])
    prompts = [_prompt(json.loads(value)) for (value,) in database.execute("SELECT value FROM prompts ORDER BY position")]
    places = {prompt.id: n for n, prompt in enumerate(prompts)}
    columns = "key, prompt_id, image, method, label, verdicts, receipt, reason, has_image, distance"
    rows = [_row(folder, prompts[places[values[1]]], values) for values in database.execute(f"SELECT {columns} FROM items")]  # noqa: S608
    rows.sort(key=lambda row: (places[row.prompt.id], row.image, METHODS.index(row.method)))
    read, skipped = counted["rows"], counted["skipped"]
    return Run(folder=folder, settings=settings, prompts=tuple(prompts), rows_read=read, skipped=skipped, rows=tuple(rows))


def _prompt(values: dict[str, Any]) -> Prompt:
    values["categories"] = tuple(values["categories"])
    return Prompt(**values)


def _row(folder: Path, prompt: Prompt, values: tuple[Any, ...]) -> Row:
    key, _, image, method, label, verdicts, receipt, reason, has_image, distance = values
    return Row(
        key=key,
        prompt=prompt,
        image=image,
        method=method,
        label=label,
        verdicts=json.loads(verdicts),
        receipt=None if receipt is None else json.loads(receipt),
        reason=reason,
        file=image_file(folder, key) if has_image else None,
        distance=distance,
    )
