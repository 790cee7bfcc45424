"""Runs and features on Ray clusters of this machine. Prints what was found, as JSON.

Run by test_ray.py as a process apart: Ray ends a process whose node is lost without a word.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from safelatent.errors import BadValueError, UnsupportedError
from safelatent.features import image_features, pictures_in, stored
from safelatent.runs import RunError
from safelatent.runs.engines.embedding import on_cluster
from safelatent.runs.engines.ray import TIMEOUT, _connected, run_ray
from safelatent.runs.execute import draw
from tests.features.mean_colour import MeanColour
from tests.features.tiny_clip import save_pictures
from tests.runs import dummy

PROMPTS = dummy.prompt_set(12)


def slow_worker():
    """What an actor makes: the dummy's results, the first ones slowly, so that a node dies over
    them.
    """
    import time

    sys.path.insert(0, str(Path(__file__).parent))
    from tests.runs import dummy as there

    slow = iter([0.3] * 5)

    def do(batch):
        time.sleep(next(slow, 0))
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


def one_cluster(folder: Path) -> dict[str, Any]:
    """On a cluster that we start: whether our handler of SIGTERM stays, a run whose worker fails,
    and the features of pictures, one of which is broken at first.
    """
    import ray

    ray.init = partial(ray.init, num_cpus=2, include_dashboard=False)
    signal.signal(signal.SIGTERM, ours := lambda *_: None)
    try:
        _connected(None)
        polite = signal.getsignal(signal.SIGTERM) is ours
        return {"polite": polite, "failing": failing_worker(folder)} | features(folder)
    finally:
        ray.shutdown()


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


def features(folder: Path) -> dict[str, Any]:
    """What is said of eight pictures, one of them broken, and the features of all of them when the
    same is asked for again.
    """
    stored.PART = 3
    pictures, said = folder / "in", ""

    def asked() -> np.ndarray:
        engine = on_cluster(timeout=20)(MeanColour())
        return image_features(pictures_in(pictures), MeanColour(), folder / "cache", engine=engine)

    save_pictures(pictures, 8)[4].write_bytes(b"no picture")
    try:
        asked()
    except BadValueError as error:
        said = str(error)
    save_pictures(pictures, 8)
    return {"said": said, "features": asked().tolist()}


if __name__ == "__main__":
    name, folder = sys.argv[1:]
    print(json.dumps({"lost_node": lost_node, "one_cluster": one_cluster}[name](Path(folder))))
