"""The same batches on a Ray cluster: actors with a model each draw and judge; this process alone writes, as it does for a local run.

Ray Data hands the batches out and does those of a lost actor or node again; a batch has the same results wherever it is done, and its
rows are committed once, so nothing is lost or doubled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from safelatent.errors import UnsupportedError
from safelatent.runs.maker import Maker
from safelatent.runs.plan import Batch
from safelatent.runs.prepare import Asked, load_parts
from safelatent.runs.result import Result
from safelatent.runs.settings import RunSettings

Do = Callable[[Batch], list[Result]]


class Worker:
    """One actor: a model and its detectors, loaded once, or whatever ``make`` makes in their place."""

    def __init__(self, make: Callable[[], Do]) -> None:
        self.do = make()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"results": self.do(row["batch"])}


def model_worker(asked: Asked, settings: RunSettings) -> Do:
    """Loads the model on the actor's machine; refuses one that is not the run's.

    Raises:
        UnsupportedError: the machine's model or detectors differ from the run's.
    """
    from safelatent.models import model_digest, model_folder

    pipe, protocol = load_parts(asked)
    if (model_digest(model_folder(asked.model, asked.revision)), protocol.hash) != (settings.model_digest, settings.protocol_hash):
        raise UnsupportedError(f"a worker's {asked.model!r} or its detectors are not those of the run; install the same on every machine")
    maker = Maker(pipe, protocol, settings)
    return lambda batch: maker.finish(maker.denoise(maker.texts(batch)))


def run_ray(make: Callable[[], Do], address: str | None, gpus: bool, batches: Iterable[Batch]) -> Iterator[list[Result]]:
    """The results of every batch, in whatever order they are done.

    Args:
        make: makes, on an actor, what turns a batch into results.
        address: of the cluster; None is the one that this process is connected to, or a new one on this machine.
        gpus: whether each actor takes a GPU of its own; else it takes a CPU.

    Raises:
        UnsupportedError: Ray is not installed, or the cluster cannot be reached.
    """
    ray = _connected(address)
    resources: dict[str, Any] = {"num_gpus": 1} if gpus else {"num_cpus": 1}
    workers = max(1, int(ray.cluster_resources().get("GPU" if gpus else "CPU", 1)))
    rows = [{"batch": batch} for batch in batches]
    if not rows:
        return
    made = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        Worker, fn_constructor_args=(make,), compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers), **resources
    )
    for row in made.iter_rows():
        yield row["results"]


def _connected(address: str | None) -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UnsupportedError('the engine ray is not installed: pip install "safelatent[ray]"') from error
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, RuntimeError) as error:
            raise UnsupportedError(f"no Ray cluster at {json.dumps(address)}: {' '.join(str(error).split())}") from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray
