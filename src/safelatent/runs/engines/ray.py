"""The same batches on a Ray cluster: actors with a model each draw and judge; this process alone
writes, as it does for a local run.

Ray Data hands the batches out and repeats those of a lost actor or node; a batch has the same
results wherever it is drawn, and its rows are committed once, so nothing is lost or doubled. A
worker that hangs aborts the run, since it cannot be known whether it will ever answer.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import cached_property
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, TypeVar

from safelatent.errors import UnsupportedError
from safelatent.optional import require
from safelatent.runs.folder import SAVED, RunError
from safelatent.runs.plan import Batch
from safelatent.runs.prepare import load_parts
from safelatent.runs.settings import RunRequest, RunSettings
from safelatent.runs.store import Result
from safelatent.runs.worker import Worker
from safelatent.text import one_line, squeezed

TIMEOUT = 60.0  # minutes without a finished batch after which a run is aborted
STOPPING = 5.0  # seconds that the reader of rows gets to stop, when a run ends early

Work = TypeVar("Work")
Made = TypeVar("Made")
Saved = TypeVar("Saved")
Row = TypeVar("Row")


class Actor:
    """One process of the cluster: what ``make`` returns (a model and its detectors), made once, at
    the first batch.

    Failures are passed on as a line of text, since Ray would bury them in its own pages.
    """

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self.make = make

    @cached_property
    def draw(self) -> Callable[[Any], Any]:
        return self.make()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"drawn": (self.draw(row["batch"]), None)}
        except Exception as error:  # noqa: BLE001  # whatever it is, the writer has to know
            return {"drawn": ([], one_line(error))}


def model_worker(request: RunRequest, settings: RunSettings) -> Callable[[Batch], list[Result]]:
    """Load the model on the actor's machine, in the run's dtype on the run's kind of device; return
    what draws and judges a batch.

    Raises:
        UnsupportedError: the machine's model or detectors differ from the run's.
    """
    from safelatent.models import model_digest, model_folder

    here = replace(request, device=settings.device, dtype=settings.dtype)
    pipe, protocol = load_parts(here)
    found = model_digest(model_folder(request.model, request.revision)), protocol.hash
    if found != (settings.model_digest, settings.protocol_hash):
        raise UnsupportedError(
            f"a worker's {request.model!r} or its detectors are not those of the run;"
            " install the same on every machine"
        )
    worker = Worker(pipe, protocol, settings)
    return lambda batch: worker.finish(worker.denoise(worker.encode(batch)))


def run_ray(
    make: Callable[[], Callable[[Work], Made]],
    address: str | None,
    gpus: bool,
    timeout: float,
    batches: Iterable[Work],
    save: Callable[[Made], Saved],
) -> Generator[Saved, None, None]:
    """Yield what ``save`` returns for the results of every batch, in the order in which they are
    done; it is called in this process.

    Args:
        make: makes, on an actor, what turns a batch into results; of images, or of features.
        address: of the cluster; None is the one that this process is connected to, or a new one on
            this machine.
        gpus: whether each actor takes a GPU; else it takes a CPU.
        timeout: minutes that may pass without a finished batch, the first one's loading of the
            model among them.

    Raises:
        UnsupportedError: Ray is not installed, or the cluster cannot be reached.
        RunError: a worker failed, or the timeout passed.
    """
    ray = _connected(address)
    resources: dict[str, Any] = {"num_gpus": 1} if gpus else {"num_cpus": 1}
    workers = max(1, int(ray.cluster_resources().get("GPU" if gpus else "CPU", 1)))
    rows = [{"batch": batch} for batch in batches]
    if not rows:
        return
    drawn = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        Actor,
        fn_constructor_args=(make,),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
        **resources,
    )
    try:
        with closing(within(timeout, _rows(ray, drawn))) as coming:
            for row in coming:
                results, failure = row["drawn"]
                if failure is not None:
                    raise _failed(failure)
                yield save(results)
    except ray.exceptions.RayError as error:
        raise _failed(one_line(error)[:300]) from error


def within(timeout: float, rows: Iterable[Row]) -> Generator[Row, None, None]:
    """Yield the rows as they come, read in a thread, since what hangs cannot be asked to stop.

    Raises:
        RunError: none came for ``timeout`` minutes.
    """
    coming: Queue[tuple[Row | None, BaseException | None]] = Queue(1)
    wanted = Event()
    wanted.set()

    def read() -> None:
        error: BaseException | None = None
        try:
            for row in rows:
                if not wanted.is_set():
                    return
                coming.put((row, None))
        except BaseException as caught:  # noqa: BLE001  # whatever it is, it is raised again below
            error = caught
        coming.put((None, error))

    reader = Thread(target=read, daemon=True)
    reader.start()
    try:
        while (row := _next(coming, timeout)) is not None:
            yield row
    finally:
        wanted.clear()
        with suppress(Empty):
            coming.get_nowait()  # a reader that waits to put something there can end
        reader.join(STOPPING)


def _next(coming: Queue[tuple[Row | None, BaseException | None]], timeout: float) -> Row | None:
    try:
        row, error = coming.get(timeout=60 * timeout)
    except Empty:
        raise RunError(
            f"no worker finished a batch for {timeout:g} minutes; completed images are saved:"
            " look at the workers, and run the same command again to resume,"
            " with a larger --timeout if they are only slow"
        ) from None
    if error is not None:
        raise error
    return row


def _rows(ray: Any, drawn: Any) -> Iterator[dict[str, Any]]:
    """The rows of a Ray dataset, read by this thread alone.

    Its own ``iter_rows`` reads ahead in threads that it leaves behind when it is stopped early, and
    one that still reads when Ray is shut down ends the process.
    """
    for bundle in drawn.iter_internal_ref_bundles():
        for block in ray.get(bundle.block_refs):
            accessor = ray.data.block.BlockAccessor.for_block(block)
            yield from accessor.iter_rows(public_row_format=True)


def _failed(reason: str) -> RunError:
    return RunError(f"a worker failed: {reason}; {SAVED}")


def require_ray() -> Any:
    """Import Ray.

    Raises:
        UnsupportedError: it is not installed.
    """
    require("ray.data", extra="ray", purpose="the engine ray")
    return require("ray", extra="ray", purpose="the engine ray")


def _connected(address: str | None) -> Any:
    ray = require_ray()
    if not ray.is_initialized():
        # Ray installs its own handler, which ends the process without a word.
        polite = signal.getsignal(signal.SIGTERM)
        try:
            # Without an address Ray takes the last cluster of this machine, and waits for ever for
            # one that was killed.
            own = address or os.environ.get("RAY_ADDRESS") or "local"
            ray.init(address=own, log_to_driver=False)
        except (ConnectionError, RuntimeError) as error:
            raise UnsupportedError(
                f"no Ray cluster at {json.dumps(address)}: {squeezed(error)}"
            ) from error
        finally:
            if polite is not None and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, polite)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray
