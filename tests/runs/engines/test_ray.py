"""Runs on Ray: the worker by itself, and clusters on this machine, one of which loses a node in the
middle.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from safelatent.runs.engines import ray as ray_engine
from safelatent.runs.engines.ray import Actor
from safelatent.runs.read import read_run
from tests.runs import dummy
from tests.runs.ray_harness import broken_model, table

HERE = Path(__file__).parents[1]
QUIET = [
    f"-Wignore::{kind}" for kind in ("DeprecationWarning", "FutureWarning", "ResourceWarning")
]  # Ray's own


def on_ray(name: str, folder: Path) -> Any:
    """What ``name`` of ``ray_harness.py`` found."""
    pytest.importorskip(
        "ray", reason='the engine ray is not installed: pip install "safelatent[ray]"'
    )
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE.parents[1] / "src")])
    command = [sys.executable, "-Werror", *QUIET, str(HERE / "ray_harness.py"), name, str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 0, f"ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def test_a_worker_loads_once_and_passes_its_failures_on_as_text():
    made = []

    def make():
        made.append(None)
        return lambda batch: [batch] if batch != "bad" else 1 / 0

    worker = Actor(make)
    assert not made, "nothing is loaded before there is something to do"
    assert [worker.draw(batch) for batch in ("first", "bad", "second")] == [
        (["first"], None),
        (None, "ZeroDivisionError: division by zero"),
        (["second"], None),
    ]
    assert len(made) == 1
    assert Actor(broken_model).draw("first") == (None, "the weights are others")


POLITE = """
import signal
signal.signal(signal.SIGTERM, ours := lambda *_: None)
from safelatent.runs.engines.ray import _connected
ray = _connected(None)
print(signal.getsignal(signal.SIGTERM) is ours)
ray.shutdown()
"""


@pytest.mark.slow
@pytest.mark.usefixtures("one_cluster")
def test_a_polite_kill_is_still_ours_when_ray_has_begun():
    """Ray's own handler ends the process without the line that says how to resume."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    ended = subprocess.run(
        [sys.executable, "-c", POLITE], capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["True"]


@pytest.mark.slow
@pytest.mark.usefixtures("one_cluster")
def test_a_node_killed_in_the_middle_loses_and_doubles_nothing(tmp_path):
    assert on_ray("lost_node", tmp_path / "ray") >= 1
    assert (tmp_path / "ray" / "scores.csv").read_bytes() == table(tmp_path / "local", dummy.engine)
    assert len(read_run(tmp_path / "ray").rows) == read_run(tmp_path / "ray").planned


@pytest.mark.slow
@pytest.mark.usefixtures("one_cluster")
def test_a_worker_that_fails_ends_the_run_in_one_line(tmp_path):
    said, left = on_ray("failing_worker", tmp_path)
    assert "a worker failed: the weights are others; completed images are saved" in said
    assert "\n" not in said
    assert left == [], "a thread that is left when Ray is shut down may end the process"
    assert not read_run(tmp_path).rows


def test_no_cluster_is_started_for_nothing():
    assert list(ray_engine.run_ray(broken_model, "nowhere:1", False, 1, [], list)) == []
