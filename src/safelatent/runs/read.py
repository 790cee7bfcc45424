"""What a run's folder holds, for reports. Reads only, without model, detectors or torch.

Every value is checked: a label must be what its verdicts make, an item must be one of the run's.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any, cast

from safelatent.detectors import Verdict
from safelatent.detectors.contract import Label, joint
from safelatent.errors import BadValueError
from safelatent.generation.methods import ALL_METHODS, Method
from safelatent.prompts import Prompt
from safelatent.runs.folder import (
    RunError,
    damage,
    database_file,
    folder_errors,
    image_file,
    read_only,
    stored_plan,
)
from safelatent.runs.plan import RunPlan
from safelatent.runs.settings import RunSettings
from safelatent.storage import place


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultRow:
    """One item, done.

    Attributes:
        key: names its image file.
        folder: of the run.
        prompt: the whole prompt, with its categories and published values.
        image: which of the prompt's images.
        method: of ``ALL_METHODS``.
        label: ``safe``, ``inappropriate``, ``unusable`` or ``error``.
        verdicts_json, receipt_json: ``verdicts`` and ``receipt`` as they are stored; if the first
            is None, both are read from the folder when they are asked for.
        reason: why there is no image, or None.
        has_image: whether one was saved.
        distance: root mean square difference to the unguarded image of the same noise, in [0, 1],
            or None.
    """

    key: str
    folder: Path
    prompt: Prompt
    image: int
    method: Method
    label: Label
    verdicts_json: str | None
    receipt_json: str | None
    reason: str | None
    has_image: bool
    distance: float | None

    @property
    def verdicts(self) -> Mapping[str, Mapping[str, Any]]:
        """By detector: label, score, threshold, evidence.

        Raises:
            RunError: they cannot be read from the folder.
        """
        return json.loads(self._stored()[0])

    @property
    def receipt(self) -> Mapping[str, Any] | None:
        """What the guard did, or None.

        Raises:
            RunError: it cannot be read from the folder.
        """
        receipt = self._stored()[1]
        return None if receipt is None else json.loads(receipt)

    @property
    def file(self) -> Path | None:
        """The image's file; None if none was saved, or it is gone.

        Raises:
            RunError: it is a link, which may lead outside the run's folder.
        """
        file = image_file(self.folder, self.key) if self.has_image else None
        return file if file is not None and file.is_file() else None

    def _stored(self) -> tuple[str, str | None]:
        """Both texts."""
        if self.verdicts_json is not None:
            return self.verdicts_json, self.receipt_json
        query = "SELECT verdicts, receipt FROM items WHERE key = ?"
        with folder_errors(self.folder), closing(read_only(self.folder)) as database:
            found = database.execute(query, (self.key,)).fetchone()
        if found is None:
            raise RunError(f"the image {self.key[:12]} of {self.folder} was removed; read it again")
        return found


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as far as it is done.

    Attributes:
        folder: where it is.
        settings: what it is a run of.
        prompts: those that images are made from, in order.
        rows_read: rows of the prompts' source.
        skipped: how many of them gave no prompt, by reason.
        rows: one per item that is done, by prompt, image and method.
    """

    folder: Path
    settings: RunSettings
    prompts: tuple[Prompt, ...]
    rows_read: int
    skipped: Mapping[str, int]
    rows: tuple[ResultRow, ...]

    @property
    def planned(self) -> int:
        """Items of the whole run."""
        return len(self.prompts) * self.settings.images * len(self.settings.methods)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        counts: of images that are done, by label.
        planned: images of the whole run.
        missing: images that were saved and are gone, as far as anyone looked.
    """

    counts: Mapping[str, int]
    planned: int
    missing: int = 0

    @property
    def done(self) -> int:
        """Images that are done, whatever their label."""
        return sum(self.counts.values())


def read_run(folder: str | Path, *, details: bool = True) -> Run:
    """Read a run, finished or not, also while it is being written.

    Args:
        details: also read the verdicts and receipts of all rows; they take most of the memory. If
            not, they stay in the folder until one is asked for.

    Raises:
        BadValueError: there is no run in the folder, or it is another version's.
        RunError: it cannot be read, or holds what no run writes.
    """
    folder = place(folder)
    with _opened(folder) as (database, plan):
        prompts = plan.prompts
        return Run(
            folder=folder,
            settings=plan.settings,
            prompts=tuple(prompts),
            rows_read=prompts.rows,
            skipped=prompts.skipped,
            rows=tuple(_rows(folder, database, plan, details=details)),
        )


def each_row(folder: Path) -> Iterator[ResultRow]:
    """Yield ``read_run(folder).rows`` one by one, so that a long run takes no more memory than a
    short one.
    """
    with _opened(folder) as (database, plan):
        yield from _rows(folder, database, plan, details=True)


def each_label(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield method, prompt text and label of every item that is done, in no order; what a summary
    needs, without the rest.
    """
    with _opened(folder) as (database, plan):
        texts = {prompt.id: prompt.text for prompt in plan.prompts}
        for method, prompt_id, label in database.execute(
            "SELECT method, prompt_id, label FROM items"
        ):
            yield method, texts[prompt_id], label


def read_progress(folder: str | Path) -> Progress:
    """Read how far a run is, without its rows.

    Raises:
        BadValueError: there is no run in the folder, or it is another version's.
        RunError: it cannot be read, or is damaged.
    """
    with _opened(place(folder)) as (database, plan):
        found = database.execute("SELECT label, COUNT(*) FROM items GROUP BY label")
        return Progress(counts=Counter(dict(found)), planned=len(plan))


def names_of_detectors(folder: Path) -> list[str]:
    """Return those that have a verdict in the run."""
    with _opened(folder) as (database, _), damage(folder, "the verdicts"):
        found = database.execute("SELECT verdicts FROM items")
        return sorted({name for (verdicts,) in found for name in json.loads(verdicts)})


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[sqlite3.Connection, RunPlan]]:
    """The database of a run that was begun, as it is at this moment, and the run's plan."""
    if not database_file(folder).is_file():
        raise BadValueError(
            f"{str(folder)!r} holds no run (no run.sqlite);"
            " give the --out folder of `safelatent bench run`"
        )
    with folder_errors(folder):
        database = read_only(folder)
        try:
            database.execute("BEGIN")  # many queries, one moment: another process may be writing
            plan = stored_plan(folder, database)
            if plan is None:
                raise BadValueError(
                    f"the run in {str(folder)!r} was never begun; run `safelatent bench run` again"
                )
            yield database, plan
        finally:
            database.close()


def _rows(
    folder: Path, database: sqlite3.Connection, plan: RunPlan, *, details: bool
) -> Iterator[ResultRow]:
    """By prompt, image and method; all are checked, whatever is kept of them."""
    columns = "key, image, method, label, verdicts, receipt, reason, has_image, distance"
    query = f"SELECT {columns} FROM items WHERE prompt_id = ?"  # noqa: S608
    order = {method: n for n, method in enumerate(ALL_METHODS)}
    for prompt in plan.prompts:
        found = database.execute(query, (prompt.id,)).fetchall()
        found.sort(key=lambda values: (values[1], order.get(values[2], -1)))
        yield from (_row(folder, prompt, plan.settings, values, details) for values in found)


def _row(
    folder: Path, prompt: Prompt, settings: RunSettings, values: Sequence[Any], details: bool
) -> ResultRow:
    key, image, method, label, verdicts, receipt, reason, has_image, distance = values
    with damage(folder, f"the row of prompt {prompt.id}, image {image}, method {method!r:.40}"):
        if method not in settings.methods or image >= settings.images:
            raise ValueError("the run has no such image")
        _check_label(label, json.loads(verdicts), bool(has_image))
        if receipt is not None and not isinstance(json.loads(receipt), dict):
            raise ValueError("its receipt is no mapping")
    return ResultRow(
        key=key,
        folder=folder,
        prompt=prompt,
        image=image,
        method=cast("Method", intern(method)),
        label=cast("Label", intern(label)),
        verdicts_json=verdicts if details else None,
        receipt_json=receipt if details else None,
        reason=reason,
        has_image=bool(has_image),
        distance=distance,
    )


def _check_label(label: str, verdicts: Any, has_image: bool) -> None:
    """Refuse a label that its verdicts do not make, and an answer without an image."""
    found: list[Label] = [Verdict(**verdict).label for verdict in verdicts.values()]
    expected = joint(found) if found else "error"
    if label != expected:
        raise ValueError(f"its label is {label!r} and its verdicts say {expected!r}")
    if not has_image and label in ("safe", "inappropriate"):
        raise ValueError(f"it is {label!r} and has no image")
