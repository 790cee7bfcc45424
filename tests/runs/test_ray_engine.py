"""A Ray cluster of two nodes on this machine, one of them killed in the middle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dummy
import pytest

from safelatent.errors import UnsupportedError
from safelatent.runs.bench import run
from safelatent.runs.patience import PATIENCE
from safelatent.runs.ray_engine import Worker, run_ray
from safelatent.runs.read import read_run
from safelatent.runs.store import RunError

PROMPTS = dummy.prompt_set(12)


def slow_worker():
    """What an actor makes: the dummy's results, slowly enough that a node dies in the middle."""
    import time

    sys.path.insert(0, str(Path(__file__).parent))
    import dummy as there

    def do(batch):
        time.sleep(0.3)
        return [there.result(item) for item in batch.items]

    return do


def table(folder: Path, engine) -> bytes:
    settings = dummy.settings(PROMPTS)
    for _ in run(folder, settings, PROMPTS, engine):
        pass
    return (folder / "scores.csv").read_bytes()


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


def broken_model():
    raise UnsupportedError("the weights are others")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")  # Ray's own
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a killed node leaves pipes behind
def test_a_node_killed_in_the_middle_loses_and_doubles_nothing(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason='the engine ray is not installed: pip install "safelatent[ray]"')
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{Path(__file__).parents[2] / 'src'}")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    try:
        ray.init(address=cluster.address, log_to_driver=False)
        alone = 0

        def engine(batches, keep):
            nonlocal alone
            for n, labels in enumerate(run_ray(slow_worker, None, False, PATIENCE, batches, keep)):
                if n == 2:
                    cluster.remove_node(second, allow_graceful=False)
                    alone = len([node for node in ray.nodes() if node["Alive"]])
                yield labels

        found = table(tmp_path / "ray", engine)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert alone >= 1
    assert found == table(tmp_path / "local", dummy.engine)
    assert len(read_run(tmp_path / "ray").rows) == read_run(tmp_path / "ray").planned


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")  # Ray's own
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_fails_ends_the_run_in_one_line(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason='the engine ray is not installed: pip install "safelatent[ray]"')
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{Path(__file__).parents[2] / 'src'}")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        with pytest.raises(RunError, match="a worker failed: the weights are others; what was done before is safe") as caught:
            table(tmp_path, lambda batches, keep: run_ray(broken_model, None, False, 5, batches, keep))
    finally:
        ray.shutdown()
    assert "\n" not in str(caught.value)
    assert not read_run(tmp_path).rows
