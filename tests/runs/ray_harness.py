"""Runs on a Ray cluster of this machine. Prints what was found, as JSON.

Run by test_ray.py in another process: Ray ends a process whose node is lost without a word.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safelatent.errors import UnsupportedError
from safelatent.runs import RunError
from safelatent.runs.engines import ray as ray_engine
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


def failing_worker(folder: Path) -> tuple[str, list[str]] | None:
    """A run whose worker fails; the line that it ends with and the threads that it leaves, None if
    it did not fail.
    """
    before = set(threading.enumerate())
    try:
        table(folder, lambda batches, keep: run_ray(broken_model, None, False, 5, batches, keep))
    except RunError as error:
        return str(error), [thread.name for thread in set(threading.enumerate()) - before]
    return None


def lost_node(folder: Path, lose: Callable[[], int]) -> int:
    """A run in whose middle ``lose`` kills a node; returns how many were alive then."""
    alone = 0

    def engine(batches, keep):
        nonlocal alone
        for n, labels in enumerate(run_ray(slow_worker, None, False, TIMEOUT, batches, keep)):
            if n == 2:
                alone = lose()
            yield labels

    table(folder, engine)
    return alone


def main(folder: Path) -> dict[str, Any]:
    """Everything on one cluster of two nodes, since to start one takes longer than the runs."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    second = cluster.add_node(num_cpus=1)
    signal.signal(signal.SIGTERM, ours := lambda *_: None)
    ray = ray_engine._connected(cluster.address)

    def lose() -> int:
        cluster.remove_node(second, allow_graceful=False)
        return len([node for node in ray.nodes() if node["Alive"]])

    try:
        return {
            "signal is ours": signal.getsignal(signal.SIGTERM) is ours,
            # In this order: a run that fails leaves its actors until the process ends.
            "alive": lost_node(folder / "ray", lose),
            "failed": failing_worker(folder / "failed"),
        }
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
