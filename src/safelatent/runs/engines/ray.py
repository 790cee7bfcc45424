"""The same batches on a Ray cluster: actors with a model each draw and judge; this process alone
writes, as it does for a local run.

Ray Data hands the batches out and does those of a lost actor or node again; a batch has the same
results wherever it is done, and its rows are committed once, so nothing is lost or doubled. A
worker that hangs ends the run, for nobody can tell whether it ever answers.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from safelatent.errors import UnsupportedError
from safelatent.runs.engines.timeout import within
from safelatent.runs.maker import Maker
from safelatent.runs.plan import Batch
from safelatent.runs.prepare import Asked, load_parts
from safelatent.runs.result import Result
from safelatent.runs.settings import RunSettings
from safelatent.runs.store import KEPT, RunError
from safelatent.text import one_line

Do = Callable[[Batch], list[Result]]
Kept = TypeVar("Kept")


class Worker:
    """One actor: a model and its detectors, loaded once at the first batch, or whatever ``make``
    makes in their place.

    What fails is handed on as a line of text, since Ray would bury it in pages of its own.
    """

    def __init__(self, make: Callable[[], Do]) -> None:
        self.make = make

    @cached_property
    def do(self) -> Do:
        return self.make()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"made": (self.do(row["batch"]), None)}
        except Exception as error:  # noqa: BLE001  # whatever it is, the process that waits has to know
            return {"made": ([], one_line(error))}


def model_worker(asked: Asked, settings: RunSettings) -> Do:
    """Loads the model on the actor's machine, in the run's numbers on the run's kind of device;
    refuses one that is not the run's.

    Raises:
        UnsupportedError: the machine's model or detectors differ from the run's.
    """
    from safelatent.models import model_digest, model_folder

    pipe, protocol = load_parts(replace(asked, device=settings.device, dtype=settings.dtype))
    if (model_digest(model_folder(asked.model, asked.revision)), protocol.hash) != (
        settings.model_digest,
        settings.protocol_hash,
    ):
        raise UnsupportedError(
            f"a worker's {asked.model!r} or its detectors are not those of the run; install the same on every machine"
        )
    maker = Maker(pipe, protocol, settings)
    return lambda batch: maker.finish(maker.denoise(maker.texts(batch)))


def run_ray(
    make: Callable[[], Do],
    address: str | None,
    gpus: bool,
    patience: float,
    batches: Iterable[Batch],
    keep: Callable[[list[Result]], Kept],
) -> Generator[Kept, None, None]:
    """What ``keep`` makes of the results of every batch, in whatever order they are done; it is
    called in this process.

    Args:
        make: makes, on an actor, what turns a batch into results.
        address: of the cluster; None is the one that this process is connected to, or a new one on
            this machine.
        gpus: whether each actor takes a GPU of its own; else it takes a CPU.
        patience: minutes that may pass without a finished batch, the first one's loading of the
            model among them.

    Raises:
        UnsupportedError: Ray is not installed, or the cluster cannot be reached.
        RunError: a worker failed, or the patience is at its end.
    """
    ray = _connected(address)
    resources: dict[str, Any] = {"num_gpus": 1} if gpus else {"num_cpus": 1}
    workers = max(1, int(ray.cluster_resources().get("GPU" if gpus else "CPU", 1)))
    rows = [{"batch": batch} for batch in batches]
    if not rows:
        return
    made = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        Worker,
        fn_constructor_args=(make,),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
        **resources,
    )
    try:
        with closing(within(patience, _rows(ray, made))) as coming:
            for row in coming:
                results, failure = row["made"]
                if failure is not None:
                    raise _failed(failure)
                yield keep(results)
    except ray.exceptions.RayError as error:
        raise _failed(one_line(error)[:300]) from error


def _rows(ray: Any, made: Any) -> Iterator[dict[str, Any]]:
    """The rows of a Ray dataset, read by this thread alone.

    Its own ``iter_rows`` reads ahead in threads that it leaves behind when it is stopped early, and
    one that still reads when Ray is shut down ends the process.
    """
    for bundle in made.iter_internal_ref_bundles():
        for block in ray.get(bundle.block_refs):
            yield from ray.data.block.BlockAccessor.for_block(block).iter_rows(
                public_row_format=True
            )


def _failed(reason: str) -> RunError:
    return RunError(f"a worker failed: {reason}; {KEPT}")


def _connected(address: str | None) -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UnsupportedError(
            'the engine ray is not installed: pip install "safelatent[ray]"'
        ) from error
    if not ray.is_initialized():
        polite = signal.getsignal(
            signal.SIGTERM
        )  # ray puts its own in its place, which ends the process without a word
        try:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, RuntimeError) as error:
            raise UnsupportedError(
                f"no Ray cluster at {json.dumps(address)}: {' '.join(str(error).split())}"
            ) from error
        finally:
            if polite is not None and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, polite)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray
