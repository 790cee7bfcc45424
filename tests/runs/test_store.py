from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from safelatent.errors import BadValueError
from safelatent.runs import RunError, read_run, store
from safelatent.runs.store import Store, rms_distance
from tests.runs import dummy
from tests.runs.test_execute import PROMPTS, everything, interrupted, table


def opened(place: Path, prompts=PROMPTS, **changes) -> Store:
    return Store(place, dummy.settings(prompts, **changes), prompts)


def test_two_processes_on_one_folder_end_clearly(tmp_path):
    with (
        opened(tmp_path),
        pytest.raises(RunError, match=f"another process \\(number {os.getpid()}\\)"),
    ):
        everything(tmp_path)
    everything(tmp_path)


def test_what_was_opened_is_closed_when_the_folder_cannot_be_taken(tmp_path, monkeypatch):
    with opened(tmp_path) as one:
        one.commit([dummy.result(item) for item in next(iter(dummy.plan(PROMPTS))).items])
    seen = []

    def kept(open_it):
        return lambda folder: seen.append(open_it(folder)) or seen[-1]

    monkeypatch.setattr(store, "connect", kept(store.connect))
    monkeypatch.setattr(store, "read_only", kept(store.read_only))
    with pytest.raises(BadValueError, match="a run of other settings"):
        opened(tmp_path, steps=7)
    monkeypatch.setattr(store, "ThreadPoolExecutor", None)
    with pytest.raises(TypeError):
        opened(tmp_path)
    assert len(seen) == 3
    for database in seen:
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            database.execute("SELECT 1")
    monkeypatch.undo()
    everything(tmp_path)


def test_a_batch_is_saved_whole(tmp_path):
    batch = next(iter(dummy.plan(PROMPTS)))
    with opened(tmp_path) as one:
        assert next(one.lacking(one.plan)) == batch
        one.commit([dummy.result(item) for item in batch.items])
        assert batch not in one.lacking(one.plan)
        assert sum(one.counts().values()) == len(batch.items)
        one.forget([batch.items[0].key])
        assert next(one.lacking(one.plan)) == batch
    rows = {row.key: row for row in read_run(tmp_path).rows}
    for item in batch.items[1:]:
        expected = dummy.result(item)
        assert rows[item.key].verdicts == expected.verdicts
        assert rows[item.key].has_image == (expected.png is not None)


def test_what_did_not_change_is_not_written(tmp_path):
    everything(tmp_path)
    before = (tmp_path / "run.sqlite").read_bytes()
    with opened(tmp_path):
        pass
    assert (tmp_path / "run.sqlite").read_bytes() == before


def test_distances_are_the_root_mean_square():
    black, grey, small = (
        dummy.as_png(np.full((side, side, 3), level, dtype=np.uint8))
        for side, level in ((8, 0), (8, 51), (4, 0))
    )
    assert rms_distance(black, black) == 0
    assert rms_distance(black, grey) == pytest.approx(0.2)
    assert rms_distance(black, small) is None


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    everything(tmp_path)
    left = [
        tmp_path / ".scores.csv.abc.tmp",
        next((tmp_path / "images").iterdir()) / ".key.png.abc.tmp",
    ]
    for file in left:
        file.write_bytes(b"half")
    (tmp_path / ".report.html.abc.tmp").write_bytes(b"of another process, which may be at it")
    everything(tmp_path)
    assert [file.exists() for file in left] == [False, False]
    assert (tmp_path / ".report.html.abc.tmp").exists()


def test_distances_are_filled_in_whatever_order_the_methods_come(tmp_path):
    """A cluster gives batches back in any order, and a kill may come between a batch and its
    distances.
    """

    def backwards(batches, save):
        return dummy.engine(reversed(list(batches)), save)

    everything(tmp_path / "forwards")
    everything(tmp_path / "backwards", engine=backwards)
    assert table(tmp_path / "forwards") == table(tmp_path / "backwards")
    some = [row.key for row in read_run(tmp_path / "backwards").rows if row.distance is not None]
    assert len(some) >= 5
    with opened(tmp_path / "backwards") as one, one._database:
        one._database.executemany(
            "UPDATE items SET distance = NULL WHERE key = ?", [(key,) for key in some[:3]]
        )
    everything(tmp_path / "backwards")
    assert table(tmp_path / "forwards") == table(tmp_path / "backwards")


def test_the_names_of_a_new_runs_folders_are_synced(tmp_path, monkeypatch):
    synced: list[Path] = []
    real = store.sync_folder
    monkeypatch.setattr(store, "sync_folder", lambda folder: synced.append(folder) or real(folder))
    everything(tmp_path / "runs/new")
    assert set(synced) == {tmp_path, tmp_path / "runs"}
    synced.clear()
    everything(tmp_path / "runs/new")
    assert synced == []


def test_a_full_database_loses_nothing(tmp_path):
    interrupted(tmp_path, 1)
    with opened(tmp_path) as one:
        pages = one._database.execute("PRAGMA page_count").fetchone()[0]
        one._database.execute(f"PRAGMA max_page_count = {pages}")
        left = [dummy.result(item) for batch in list(one.plan)[1:] for item in batch.items]
        with pytest.raises(RunError, match="full; completed images are saved"):
            one.commit(left * 20)
        assert sum(one.counts().values()) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only folders")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="Permission denied"):
        everything(tmp_path / "run")


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        everything(tmp_path / "run")
