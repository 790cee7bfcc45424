"""Runs on Ray clusters of this machine. Prints what was found, as JSON.

Run by test_ray_engine.py as a process of its own: Ray ends a process whose node is lost without a
word.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from safelatent.errors import UnsupportedError
from safelatent.runs import RunError
from safelatent.runs.engines.ray import TIMEOUT, run_ray
from safelatent.runs.execute import draw
from tests.runs import dummy

PROMPTS = dummy.prompt_set(12)


def slow_worker():
    """What an actor makes: the dummy's results, slowly enough that a node dies in the middle."""
    import time

    sys.path.insert(0, str(Path(__file__).parent))
    from tests.runs import dummy as there

    def do(batch):
        time.sleep(0.3)
        return [there.result(item) for item in batch.items]

    return do


def broken_model():
    raise UnsupportedError("the weights are others")


def table(folder: Path, engine) -> bytes:
    """The score table of a run to its end."""
    for _ in draw(folder, dummy.settings(PROMPTS), PROMPTS, engine):
        pass
    return (folder / "scores.csv").read_bytes()


def lost_node(folder: Path) -> int:
    """A run on two nodes, one of them killed in the middle; returns how many were alive then."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    second = cluster.add_node(num_cpus=1)
    alone = 0

    def engine(batches, keep):
        nonlocal alone
        for n, labels in enumerate(run_ray(slow_worker, None, False, TIMEOUT, batches, keep)):
            if n == 2:
                cluster.remove_node(second, allow_graceful=False)
                alone = len([node for node in ray.nodes() if node["Alive"]])
            yield labels

    try:
        ray.init(address=cluster.address, log_to_driver=False)
        table(folder, engine)
    finally:
        ray.shutdown()
        cluster.shutdown()
    return alone


def failing_worker(folder: Path) -> tuple[str, list[str]] | None:
    """A run whose worker fails; the line that it ends with and the threads that it leaves, None if
    it did not fail.
    """
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    before = set(threading.enumerate())
    try:
        table(folder, lambda batches, keep: run_ray(broken_model, None, False, 5, batches, keep))
    except RunError as error:
        return str(error), [thread.name for thread in set(threading.enumerate()) - before]
    finally:
        ray.shutdown()
    return None


if __name__ == "__main__":
    name, folder = sys.argv[1:]
    print(
        json.dumps({"lost_node": lost_node, "failing_worker": failing_worker}[name](Path(folder)))
    )
