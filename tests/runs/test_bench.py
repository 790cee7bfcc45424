from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import dummy
import pytest

from safelatent import BadValueError
from safelatent.runs import files
from safelatent.runs.bench import run
from safelatent.runs.plan import Plan
from safelatent.runs.read import read_run
from safelatent.runs.store import RunError, Store

PROMPTS = dummy.prompt_set()
ITEMS = 6 * 2 * 3


def everything(folder: Path, prompts=PROMPTS, engine=dummy.engine, **changes) -> list[dict[str, int]]:
    return [dict(counts) for counts in run(folder, dummy.settings(prompts, **changes), prompts, engine)]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


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

    def counting(batches):
        for batch in batches:
            seen.extend(item.key for item in batch.items)
            yield [dummy.result(item) for item in batch.items]

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
    with pytest.raises(BadValueError, match=r"steps is 20, was 50; .*methods is .*'?off'?.*give the same settings to go on"):
        everything(tmp_path, steps=20, methods=("off",))
    with pytest.raises(BadValueError, match="prompts_digest"):
        everything(tmp_path, prompts=dummy.prompt_set(5))
    assert len(read_run(tmp_path).rows) == ITEMS


def test_two_processes_on_one_folder_end_clearly(tmp_path):
    with Store(tmp_path, dummy.settings(PROMPTS), PROMPTS), pytest.raises(RunError, match=f"another process \\(number {os.getpid()}\\)"):
        everything(tmp_path)
    everything(tmp_path)


@pytest.mark.parametrize("write", [0, 1, 5, 11])
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, write):
    count = -1

    def full(_handle):
        nonlocal count
        count += 1
        if count == write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device; what was done before is safe"):
        everything(tmp_path)
    monkeypatch.undo()
    kept = len(read_run(tmp_path).rows)
    assert kept % 3 == 0, "whole batches"
    assert not list(tmp_path.rglob(".*.tmp"))
    everything(tmp_path)
    whole = tmp_path / "whole"
    everything(whole)
    assert (tmp_path / "scores.csv").read_bytes() == (whole / "scores.csv").read_bytes()


def test_a_full_database_loses_nothing(tmp_path):
    going = run(tmp_path, dummy.settings(PROMPTS), PROMPTS, dummy.engine)
    next(going)
    next(going)
    going.close()
    with Store(tmp_path, dummy.settings(PROMPTS), PROMPTS) as store:
        pages = store._database.execute("PRAGMA page_count").fetchone()[0]
        store._database.execute(f"PRAGMA max_page_count = {pages}")
        long = [dummy.result(item) for batch in list(Plan(settings=dummy.settings(PROMPTS), prompts=PROMPTS))[1:] for item in batch.items]
        with pytest.raises(RunError, match="full; what was done before is safe"):
            store.commit(long * 20)
        assert len(store.done()) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only folders")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="Permission denied"):
        everything(tmp_path / "run")


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        everything(tmp_path / "run")


def test_what_is_no_run_is_not_read(tmp_path):
    with pytest.raises(BadValueError, match="holds no run"):
        read_run(tmp_path)
    (tmp_path / "run.sqlite").write_bytes(b"not a database at all, but long enough to be looked at")
    with pytest.raises(RunError, match="not a database"):
        read_run(tmp_path)


@pytest.mark.slow
def test_a_hundred_kills_lose_double_and_corrupt_nothing(tmp_path):
    """SIGKILL at a random line of what writes; the score table of every run is, to the byte, an uninterrupted one's."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), *sys.path])
    command = [sys.executable, str(here / "kill_harness.py"), str(tmp_path), "100", "20221113"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["killed"] == 100
    assert found["failed"] == 0, done.stderr
    assert found["corrupt"] == 0
    assert set(found["ends"]) == {0}
    whole = tmp_path / "whole"
    everything(whole, prompts=dummy.prompt_set(12))
    for folder in found["runs"]:
        assert (Path(folder) / "scores.csv").read_bytes() == (whole / "scores.csv").read_bytes()
        assert files_of(Path(folder)) == files_of(whole), "no file too many, none missing, none different"
        assert not list(Path(folder).rglob(".*.tmp"))
