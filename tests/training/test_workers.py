"""Processes that share a mean: the same for all, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

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


def share_until_one_fails(rank, workers, folder):
    share(rank, workers, folder)
    workers.meet()
    if rank == 1:
        raise ArithmeticError("no mean to be had")
    workers.meet()


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """What each of three workers got, and what is raised when one of them fails afterwards."""
    folder = tmp_path_factory.mktemp("three")
    with pytest.raises(ProcessRaisedException) as ended:
        work_together(share_until_one_fails, 3, folder)
    return folder, str(ended.value)


def check(folder, count):
    got = [np.load(folder / f"{rank}.npy") for rank in range(count)]
    assert all(np.array_equal(one, got[0]) for one in got)
    expected = torch.stack(
        [torch.stack([found(rank, turn) for rank in range(count)]).mean(0) for turn in range(TURNS)]
    )
    torch.testing.assert_close(torch.from_numpy(got[0]), expected)


def test_all_get_the_same_mean(three, tmp_path):
    check(three[0], 3)
    work_together(share, 1, tmp_path)
    check(tmp_path, 1)


def test_one_that_fails_ends_them_all(three):
    assert "no mean to be had" in three[1]


def go_on(rank, workers, folder):
    mean = Mean(workers, rank, 1)
    (folder / f"{rank}").write_text(str(os.getpid()))
    while True:
        mean([torch.ones(1)])


ENDLESS = """
import sys
from pathlib import Path
from tests.training import test_workers
from training.workers import work_together
work_together(getattr(test_workers, sys.argv[1]), 2, Path(sys.argv[2]))
"""


def wait_for_the_dead(rank, workers, folder):
    """As for a lock that a dead neighbour held; an interrupt is lost on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    (folder / f"{rank}").write_text(str(os.getpid()))
    threading.Event().wait()


@pytest.mark.parametrize("work", [go_on, wait_for_the_dead])
def test_none_outlives_a_killed_parent(tmp_path, work):
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, work.__name__, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        _until(lambda: len(list(tmp_path.iterdir())) == 2)
        parent.kill()
        parent.communicate(
            timeout=60
        )  # ends when the last worker has ended, for all of them hold its stderr


def test_one_that_waits_in_vain_ends(monkeypatch):
    monkeypatch.setattr("training.workers.PATIENCE", 0.01)
    workers = Workers(2)
    with pytest.raises(SystemExit, match="another worker has stopped"):
        workers.meet()


def _until(true):
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, "the workers have not begun"
        time.sleep(0.05)
