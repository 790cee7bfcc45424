"""Processes that share a mean: the same for all, and none is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.multiprocessing import ProcessRaisedException

from training.workers import Mean, Workers, work_together

TURNS = 50


def found(rank, turn):
    return torch.randn(7, generator=torch.Generator().manual_seed(1000 * rank + turn))


def share(rank, workers, folder):
    mean = Mean(workers, rank, 7)
    shared = [
        mean([found(rank, turn)[:3].view(3, 1), found(rank, turn)[3:]]) for turn in range(TURNS)
    ]
    np.save(folder / f"{rank}.npy", torch.stack(shared).numpy())


@pytest.mark.parametrize("count", [1, 3])
def test_all_get_the_same_mean(tmp_path, count):
    work_together(share, count, tmp_path)
    got = [np.load(tmp_path / f"{rank}.npy") for rank in range(count)]
    assert all(np.array_equal(one, got[0]) for one in got)
    expected = torch.stack(
        [torch.stack([found(rank, turn) for rank in range(count)]).mean(0) for turn in range(TURNS)]
    )
    torch.testing.assert_close(torch.from_numpy(got[0]), expected)


def fail(rank, workers):
    workers.meet()
    if rank == 1:
        raise ArithmeticError("no mean to be had")
    workers.meet()


def test_one_that_fails_ends_them_all():
    with pytest.raises(ProcessRaisedException, match="no mean to be had"):
        work_together(fail, 2)


def go_on(rank, workers, folder):
    mean = Mean(workers, rank, 1)
    (folder / f"{rank}").write_text(str(os.getpid()))
    while True:
        mean([torch.ones(1)])


ENDLESS = """
import sys
from pathlib import Path
from tests.training.test_workers import go_on
from training.workers import work_together
work_together(go_on, 2, Path(sys.argv[1]))
"""


def test_none_outlives_a_killed_parent(tmp_path):
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        _until(lambda: len(list(tmp_path.iterdir())) == 2)
        parent.kill()
        parent.communicate(
            timeout=60
        )  # ends when the last worker has ended, for all of them hold its stderr


def test_a_worker_sees_that_its_parent_is_gone(monkeypatch):
    """Where the system does not tell it so by a signal."""
    workers = Workers(2)
    monkeypatch.setattr(
        "training.workers.os", SimpleNamespace(getpid=lambda: 1000, getppid=lambda: 1)
    )
    with pytest.raises(
        SystemExit, match="the training process is gone; its last checkpoint is whole"
    ):
        workers.meet()
    monkeypatch.undo()
    with pytest.raises(SystemExit, match="another worker has stopped"):
        workers.meet()


def _until(true):
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, "the workers have not begun"
        time.sleep(0.05)
