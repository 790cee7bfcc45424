"""The one writer of a run's folder. Bytes and rows; it does not know how images are made.

A batch is saved as: encoded in memory, each file written aside, synced and renamed, several at a
time, then all its rows in one transaction (WAL, full sync). A kill at any moment leaves files
without rows at worst; they are overwritten when their batch is drawn again.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from safelatent.errors import BadValueError
from safelatent.prompts import PromptSet
from safelatent.runs.folder import (
    as_json,
    connect,
    create_tables,
    folder_errors,
    image_file,
    lock,
    read_only,
    store_plan,
    stored_plan,
)
from safelatent.runs.growth import grow, without_last_growth
from safelatent.runs.plan import Batch, Extent, RunPlan
from safelatent.runs.settings import RunSettings
from safelatent.storage import sync_folder, write_whole

LOOKED_UP = 64  # batches at a time: one query for each takes as long as to plan it
WRITERS = 8  # files of a batch at a time: a disk syncs several in the time of one
_WITHOUT_DISTANCE = """
SELECT item.key, unguarded.key FROM items AS item JOIN items AS unguarded USING (prompt_id, image)
WHERE item.method != 'off' AND item.has_image AND item.distance IS NULL
AND unguarded.method = 'off' AND unguarded.has_image
"""
_OF = """
AND (prompt_id, image) IN
(SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))
"""
_DONE = "SELECT key FROM items WHERE key IN (SELECT value FROM json_each(?))"
_BEYOND = """
SELECT EXISTS (SELECT 1 FROM items JOIN prompts ON prompts.id = items.prompt_id
WHERE position >= ? OR image >= ? OR method NOT IN (SELECT value FROM json_each(?)))
"""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one item. Plain values, safe to send.

    Attributes:
        key: the item's.
        prompt_id, image, method: which.
        png: the encoded image; None if there is none.
        label: ``safe``, ``inappropriate``, ``unusable`` or ``error``; the last two never count as
            safe.
        verdicts: by detector, as plain values; empty if nothing was drawn.
        receipt: what the guard did; None if it was off or nothing was drawn.
        reason: why there is no image.
    """

    key: str
    prompt_id: str
    image: int
    method: str
    png: bytes | None
    label: str
    verdicts: Mapping[str, Mapping[str, Any]]
    receipt: Mapping[str, Any] | None = None
    reason: str | None = None


class Store:
    """A run's folder, open to be written; use it in a ``with`` block. Writes may come from any
    thread, one at a time.

    Attributes:
        plan: of the run, which this command began, resumed or grew.

    Raises:
        RunError: the folder cannot be written, is damaged, or another process writes to it.
        BadValueError: the folder holds a run of other settings, or more than is asked for; the
            differences are named.
    """

    def __init__(self, folder: Path, settings: RunSettings, prompts: PromptSet) -> None:
        self.folder = folder
        with folder_errors(folder):
            new = [one for one in (folder, *folder.parents) if not one.exists()]
        with ExitStack() as opened:
            opened.enter_context(lock(folder))
            with folder_errors(folder):
                self._database = opened.enter_context(closing(connect(folder)))
                self.plan = self._begin(settings, prompts)
                for one in new:
                    sync_folder(one.parent)  # its name survives a power cut too
                self._reader = opened.enter_context(closing(read_only(folder)))
                self._writers = opened.enter_context(ThreadPoolExecutor(WRITERS, "write"))
                for aside in (*folder.glob("images/*/.*.tmp"), *folder.glob(".scores.csv.*.tmp")):
                    aside.unlink()  # of a process that was killed in the middle of a file
            self._opened = opened.pop_all()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def lacking(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches of which an item is not done, reading only some of them ahead.

        Iterate in the thread that opened the store; another one may be writing.
        """
        left = iter(batches)
        while some := list(islice(left, LOOKED_UP)):
            keys = as_json([item.key for batch in some for item in batch.items])
            done = {key for (key,) in self._reader.execute(_DONE, (keys,))}
            yield from (b for b in some if not done.issuperset(item.key for item in b.items))

    def counts(self) -> dict[str, int]:
        """Return the number of items by label."""
        return dict(self._database.execute("SELECT label, COUNT(*) FROM items GROUP BY label"))

    def commit(self, results: Sequence[Result]) -> None:
        """Save the results of one batch, all or none.

        Raises:
            RunError: the disk is full or the folder read-only. Everything saved before is whole.
        """
        with folder_errors(self.folder):
            for _ in self._writers.map(self._write, results):
                pass  # an error is raised here, before any row is written
            with self._database:
                self._database.executemany(
                    "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                    map(_row, results),
                )

    def fill_distances(self, places: Iterable[tuple[str, int]] | None = None) -> None:
        """Give guarded images without one their distance to the unguarded image of the same noise.

        Args:
            places: ids of prompts with an image's number each; None is everywhere in the run.
        """
        query, given = f"{_WITHOUT_DISTANCE} ORDER BY item.key", tuple[str, ...]()
        if places is not None:
            query, given = f"{_WITHOUT_DISTANCE} {_OF} ORDER BY item.key", (as_json(list(places)),)
        with folder_errors(self.folder):
            pairs = self._database.execute(query, given).fetchall()
            found = [(self._distance(key, off), key) for key, off in pairs]
            with self._database:
                self._database.executemany("UPDATE items SET distance = ? WHERE key = ?", found)

    def missing_images(self) -> Iterator[str]:
        """Yield the key of every item whose image was saved and whose file is gone."""
        query = "SELECT key FROM items WHERE has_image AND key BETWEEN ? AND ?"
        for prefix in (f"{n:02x}" for n in range(256)):
            keys = self._reader.execute(query, (prefix, f"{prefix}~")).fetchall()
            with folder_errors(self.folder):
                there = _names(image_file(self.folder, keys[0][0]).parent) if keys else set()
            yield from (key for (key,) in keys if f"{key}.png" not in there)

    def forget(self, keys: Iterable[str]) -> None:
        """Remove these rows, so that their batches are drawn again."""
        with folder_errors(self.folder), self._database:
            self._database.executemany("DELETE FROM items WHERE key = ?", ((key,) for key in keys))

    def _write(self, result: Result) -> None:
        if result.png is not None:
            write_whole(image_file(self.folder, result.key), result.png)

    def _distance(self, key: str, unguarded: str) -> float | None:
        with suppress(OSError, SyntaxError, ValueError):  # a file is gone, or cut short
            first, second = (image_file(self.folder, one).read_bytes() for one in (key, unguarded))
            return rms_distance(first, second)
        return None

    def _begin(self, settings: RunSettings, prompts: PromptSet) -> RunPlan:
        """Begin, resume or grow the run; on disk before anything is drawn of it."""
        stored = stored_plan(self.folder, self._database)
        plan = None if stored is None else self._grown(stored, settings, prompts)
        plan = RunPlan(settings=settings, prompts=prompts) if plan is None else plan
        if plan != stored:
            with self._database:
                # Python begins a transaction for rows, not for tables: a kill would leave half a
                # database.
                self._database.execute("BEGIN")
                if not self._database.execute("SELECT 1 FROM sqlite_master").fetchone():
                    create_tables(self._database)
                store_plan(self._database, plan)
        return plan

    def _grown(
        self, plan: RunPlan | None, settings: RunSettings, prompts: PromptSet
    ) -> RunPlan | None:
        """The plan with what is asked for added; without a growth of which nothing was drawn, if
        more was asked for by mistake; None if nothing was drawn at all.
        """
        while plan is not None:
            try:
                return grow(plan, settings, prompts)
            except BadValueError as error:
                if self._has_beyond(plan.earlier[-1] if plan.earlier else Extent()):
                    raise BadValueError(
                        f"{self.folder} holds a run of other settings ({error}); repeat its"
                        " settings to resume it, with more prompts, images or methods to grow it,"
                        " or name another --out"
                    ) from None
            plan = without_last_growth(plan)
        return None

    def _has_beyond(self, extent: Extent) -> bool:
        """Whether anything is done that is not part of ``extent``."""
        where = (extent.prompts, extent.images, as_json(extent.methods))
        [found] = self._database.execute(_BEYOND, where).fetchone()
        return bool(found)


def rms_distance(first: bytes, second: bytes) -> float | None:
    """Return the root mean square difference of two PNG images, in [0, 1]; None if their sizes
    differ.
    """
    a, b = (
        np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.float64) / 255
        for png in (first, second)
    )
    return float(np.sqrt(np.mean((a - b) ** 2))) if a.shape == b.shape else None


def _names(folder: Path) -> set[str]:
    with suppress(FileNotFoundError):
        return set(os.listdir(folder))  # noqa: PTH208  # names alone, thousands of them
    return set()


def _row(result: Result) -> tuple[Any, ...]:
    receipt = None if result.receipt is None else as_json(result.receipt)
    return (
        result.key,
        result.prompt_id,
        result.image,
        result.method,
        result.label,
        as_json(result.verdicts),
        receipt,
        result.reason,
        int(result.png is not None),
    )
