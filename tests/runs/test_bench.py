from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from safelatent import BadValueError, storage
from safelatent.runs import store
from safelatent.runs.bench import run
from safelatent.runs.plan import Plan
from safelatent.runs.read import read_run
from safelatent.runs.store import RunError, Store
from tests.runs import dummy

PROMPTS = dummy.prompt_set()
ITEMS = 6 * 2 * 3


def everything(
    folder: Path, prompts=PROMPTS, engine=dummy.engine, **changes
) -> list[dict[str, int]]:
    return [
        dict(counts) for counts in run(folder, dummy.settings(prompts, **changes), prompts, engine)
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))
    }


def test_a_run_does_every_item_once(tmp_path):
    counts = everything(tmp_path)
    assert counts[0] == {}
    assert sum(counts[-1].values()) == ITEMS
    found = read_run(tmp_path)
    assert len(found.rows) == found.planned == ITEMS
    assert {(row.prompt.id, row.image, row.method) for row in found.rows} == {
        (p.id, n, m) for p in PROMPTS for n in range(2) for m in ("off", "medium", "max")
    }
    assert found.rows_read == 7
    assert found.skipped == {"empty": 1}
    assert (tmp_path / "scores.csv").read_text().count("\n") == ITEMS + 1


def test_the_same_command_again_goes_on(tmp_path):
    for batches in range(3):
        going = run(tmp_path, dummy.settings(PROMPTS), PROMPTS, dummy.engine)
        for _ in range(batches + 2):
            next(going)
        going.close()
    seen: list[str] = []

    def counting(batches, keep):
        for batch in batches:
            seen.extend(item.key for item in batch.items)
            yield keep([dummy.result(item) for item in batch.items])

    before = {row.key for row in read_run(tmp_path).rows}
    everything(tmp_path, engine=counting)
    assert len(before) > 0
    assert before.isdisjoint(seen), "nothing is done twice"
    whole = tmp_path / "whole"
    everything(whole)
    assert (tmp_path / "scores.csv").read_bytes() == (whole / "scores.csv").read_bytes()
    assert everything(tmp_path)[0] == everything(whole)[-1], "a finished run has nothing left to do"


def test_other_settings_on_the_same_folder_are_refused_and_the_difference_is_shown(tmp_path):
    everything(tmp_path)
    with pytest.raises(
        BadValueError,
        match=r"steps is 20, was 50; .*methods is .*'?off'?.*give the same settings to go on",
    ):
        everything(tmp_path, steps=20, methods=("off",))
    with pytest.raises(BadValueError, match=r"revision is \"b0b0\", was null"):
        everything(tmp_path, revision="b0b0")
    with pytest.raises(BadValueError, match="prompts_digest"):
        everything(tmp_path, prompts=dummy.prompt_set(5))
    assert len(read_run(tmp_path).rows) == ITEMS


def test_two_processes_on_one_folder_end_clearly(tmp_path):
    with (
        Store(tmp_path, dummy.settings(PROMPTS), PROMPTS),
        pytest.raises(RunError, match=f"another process \\(number {os.getpid()}\\)"),
    ):
        everything(tmp_path)
    everything(tmp_path)


def fails_at(monkeypatch, call: str, number: int, code: int) -> list[int]:
    """Lets the ``number``-th call of this name in ``files`` fail, none for 0; the list counts them."""
    module = storage.tempfile if call == "mkstemp" else storage.os
    real, seen = getattr(module, call), [0]

    def failing(*arguments, **options):
        seen[0] += 1
        if seen[0] == number:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    monkeypatch.setattr(module, call, failing)
    return seen


@pytest.mark.parametrize("call", ["mkstemp", "fsync", "replace"])
def test_a_full_disk_at_any_write_loses_nothing(tmp_path, monkeypatch, call):
    """At every single one of a small run's: where a file begins, where it or its folder is synced,
    where it gets its name.
    """
    prompts = dummy.prompt_set(2)
    small = {"prompts": prompts, "engine": dummy.local, "images": 1}
    with monkeypatch.context() as patch:
        writes = fails_at(patch, call, 0, errno.ENOSPC)
        everything(tmp_path / "whole", **small)
    whole = (tmp_path / "whole/scores.csv").read_bytes()
    for number in range(1, writes[0] + 1):
        folder = tmp_path / str(number)
        with monkeypatch.context() as patch:
            fails_at(patch, call, number, errno.ENOSPC)
            with pytest.raises(
                RunError, match="No space left on device; what was done before is safe"
            ):
                everything(folder, **small)
        assert {row.prompt.id for row in read_run(folder).rows} <= {"p-0", "p-1"}
        assert not list(folder.rglob(".*.tmp"))
        everything(folder, **small)
        assert (folder / "scores.csv").read_bytes() == whole


def test_a_file_system_that_becomes_read_only_ends_the_run_in_one_line(tmp_path, monkeypatch):
    fails_at(monkeypatch, "mkstemp", 5, errno.EROFS)
    with pytest.raises(
        RunError, match="Read-only file system; what was done before is safe"
    ) as caught:
        everything(tmp_path)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert len(read_run(tmp_path).rows) == 3
    everything(tmp_path)
    assert len(read_run(tmp_path).rows) == ITEMS


def test_a_folder_on_a_read_only_disk_is_refused(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(RunError, match="cannot be written: Read-only file system"):
        everything(tmp_path / "run")


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

    def backwards(batches, keep):
        return dummy.engine(reversed(list(batches)), keep)

    everything(tmp_path / "forwards")
    everything(tmp_path / "backwards", engine=backwards)
    assert (tmp_path / "forwards/scores.csv").read_bytes() == (
        tmp_path / "backwards/scores.csv"
    ).read_bytes()
    with Store(tmp_path / "backwards", dummy.settings(PROMPTS), PROMPTS) as store:
        some = [row for row in read_run(store.folder).rows if row.distance is not None]
        assert len(some) >= 5
        assert store.without_distance() == []
        store.set_distances({row.key: None for row in some[:3]})
        assert {key for key, _ in store.without_distance()} == {row.key for row in some[:3]}
    everything(tmp_path / "backwards")
    assert (tmp_path / "forwards/scores.csv").read_bytes() == (
        tmp_path / "backwards/scores.csv"
    ).read_bytes()


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
    going = run(tmp_path, dummy.settings(PROMPTS), PROMPTS, dummy.engine)
    next(going)
    next(going)
    going.close()
    with Store(tmp_path, dummy.settings(PROMPTS), PROMPTS) as store:
        pages = store._database.execute("PRAGMA page_count").fetchone()[0]
        store._database.execute(f"PRAGMA max_page_count = {pages}")
        long = [
            dummy.result(item)
            for batch in list(Plan(settings=dummy.settings(PROMPTS), prompts=PROMPTS))[1:]
            for item in batch.items
        ]
        with pytest.raises(RunError, match="full; what was done before is safe"):
            store.commit(long * 20)
        assert sum(store.counts().values()) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only folders")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="Permission denied"):
        everything(tmp_path / "run")


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        everything(tmp_path / "run")


def test_a_run_in_a_folder_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    """SQLite makes files beside a database that it reads; on a disk that is read-only it may not,
    and must not want to.
    """
    everything(tmp_path)
    for beside in tmp_path.glob("run.sqlite-*"):
        beside.unlink()
    monkeypatch.setattr(store.os, "access", lambda *_: False)
    assert len(read_run(tmp_path).rows) == ITEMS
    assert not list(tmp_path.glob("run.sqlite-*"))


def test_what_is_no_run_is_not_read(tmp_path):
    with pytest.raises(BadValueError, match="holds no run"):
        read_run(tmp_path)
    (tmp_path / "run.sqlite").write_bytes(b"not a database at all, but long enough to be looked at")
    with pytest.raises(RunError, match="not a database"):
        read_run(tmp_path)


@pytest.mark.slow
def test_a_hundred_kills_lose_double_and_corrupt_nothing(tmp_path):
    """SIGKILL at a random line of what writes; the score table of every run is, to the byte, an
    uninterrupted one's.
    """
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), *sys.path])
    command = [sys.executable, str(here / "kill_harness.py"), str(tmp_path), "100", "20221113"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["killed"] == 100
    assert found["failed"] == 0, done.stderr
    assert found["corrupt"] == 0
    assert found["lost"] <= 2, "the batch that was drawn last, and the one before it"
    assert set(found["ends"]) == {0}
    whole = tmp_path / "whole"
    everything(whole, prompts=dummy.prompt_set(12))
    for folder in found["runs"]:
        assert (Path(folder) / "scores.csv").read_bytes() == (whole / "scores.csv").read_bytes()
        assert files_of(Path(folder)) == files_of(whole), (
            "no file too many, none missing, none different"
        )
        assert not list(Path(folder).rglob(".*.tmp"))
