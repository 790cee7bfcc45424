"""Runs on Ray: the worker by itself, and clusters on this machine, one of which loses a node in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dummy
import pytest

from safelatent.errors import UnsupportedError
from safelatent.runs.bench import run
from safelatent.runs.ray_engine import Worker
from safelatent.runs.read import read_run

PROMPTS = dummy.prompt_set(12)
HERE = Path(__file__).parent


def broken_model():
    raise UnsupportedError("the weights are others")


def on_ray(name: str, folder: Path) -> Any:
    """What ``name`` of ``on_ray.py`` found."""
    pytest.importorskip("ray", reason='the engine ray is not installed: pip install "safelatent[ray]"')
    paths = os.pathsep.join([str(HERE), str(HERE.parents[1] / "src")])
    ended = subprocess.run(
        [sys.executable, HERE / "on_ray.py", name, folder],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert ended.returncode == 0, f"ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}"
    return json.loads(ended.stdout.splitlines()[-1])


def test_a_worker_loads_once_and_hands_its_failures_on_as_text():
    made = []

    def make():
        made.append(None)
        return lambda batch: [batch] if batch != "bad" else 1 / 0

    worker = Worker(make)
    assert not made, "nothing is loaded before there is something to do"
    rows = [worker({"batch": batch})["made"] for batch in ("first", "bad", "second")]
    assert rows == [(["first"], None), ([], "ZeroDivisionError: division by zero"), (["second"], None)]
    assert len(made) == 1
    assert Worker(broken_model)({"batch": "first"})["made"] == ([], "the weights are others")


POLITE = """
import signal
signal.signal(signal.SIGTERM, ours := lambda *_: None)
from safelatent.runs.ray_engine import _connected
ray = _connected(None)
print(signal.getsignal(signal.SIGTERM) is ours)
ray.shutdown()
"""


@pytest.mark.slow
def test_a_polite_kill_is_still_ours_when_ray_has_begun():
    """Ray's own handler ends the process without the line that says how to go on."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    ended = subprocess.run([sys.executable, "-c", POLITE], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["True"]


@pytest.mark.slow
def test_a_node_killed_in_the_middle_loses_and_doubles_nothing(tmp_path):
    assert on_ray("lost_node", tmp_path / "ray") >= 1
    for _ in run(tmp_path / "local", dummy.settings(PROMPTS), PROMPTS, dummy.engine):
        pass
    assert (tmp_path / "ray" / "scores.csv").read_bytes() == (tmp_path / "local" / "scores.csv").read_bytes()
    assert len(read_run(tmp_path / "ray").rows) == read_run(tmp_path / "ray").planned


@pytest.mark.slow
def test_a_worker_that_fails_ends_the_run_in_one_line(tmp_path):
    said = on_ray("failing_worker", tmp_path)
    assert "a worker failed: the weights are others; what was done before is safe" in said
    assert "\n" not in said
    assert not read_run(tmp_path).rows
