"""Runs and features on Ray: the worker by itself, and two clusters on this machine, one of which
loses a node in the middle.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import pytest

from safelatent.features import image_features, pictures_in
from safelatent.runs.engines.ray import Actor, run_ray
from safelatent.runs.read import read_run
from tests.features.mean_colour import MeanColour
from tests.runs import dummy
from tests.runs.ray_harness import broken_model, table

HERE = Path(__file__).parents[1]
QUIET = [
    f"-Wignore::{kind}" for kind in ("DeprecationWarning", "FutureWarning", "ResourceWarning")
]  # Ray's own


def on_ray(name: str, folder: Path) -> Any:
    """What ``name`` of ``ray_harness.py`` found. One cluster on the machine at a time, whatever the
    other workers of the tests do.
    """
    pytest.importorskip(
        "ray", reason='the engine ray is not installed: pip install "safelatent[ray]"'
    )
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE.parents[1] / "src")])
    command = [sys.executable, "-Werror", *QUIET, str(HERE / "ray_harness.py"), name, str(folder)]
    slow = {"RAY_raylet_start_wait_time_s": "300"}  # a busy machine is no fault
    environment = os.environ | slow | {"PYTHONPATH": path}
    with (Path(gettempdir()) / "safelatent-tests-ray.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
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


@pytest.mark.slow
def test_a_node_killed_in_the_middle_loses_and_doubles_nothing(tmp_path):
    assert on_ray("lost_node", tmp_path / "ray") >= 1
    assert (tmp_path / "ray" / "scores.csv").read_bytes() == table(tmp_path / "local", dummy.engine)
    assert len(read_run(tmp_path / "ray").rows) == read_run(tmp_path / "ray").planned


@pytest.fixture(scope="module")
def on_one_cluster(tmp_path_factory):
    """What happened on one cluster, and its folder."""
    folder = tmp_path_factory.mktemp("ray")
    return on_ray("one_cluster", folder), folder


@pytest.mark.slow
def test_a_polite_kill_is_still_ours_when_ray_has_begun(on_one_cluster):
    """Ray's own handler ends the process without the line that says how to resume."""
    assert on_one_cluster[0]["polite"] is True


@pytest.mark.slow
def test_a_worker_that_fails_ends_the_run_in_one_line(on_one_cluster):
    found, folder = on_one_cluster
    said, left = found["failing"]
    assert "a worker failed: the weights are others; completed images are saved" in said
    assert "\n" not in said
    assert left == [], "a thread that is left when Ray is shut down may end the process"
    assert not read_run(folder).rows


@pytest.mark.slow
def test_a_cluster_computes_the_same_features(on_one_cluster, tmp_path):
    found, folder = on_one_cluster
    assert "1 of 8 images cannot be used" in found["said"]
    here = image_features(pictures_in(folder / "in"), MeanColour(), tmp_path)
    np.testing.assert_array_equal(np.float32(found["features"]), here)
    assert len(list((folder / "cache").rglob("*.safetensors"))) == 4


def test_no_cluster_is_started_for_nothing():
    assert list(run_ray(broken_model, "nowhere:1", False, 1, [], list)) == []
