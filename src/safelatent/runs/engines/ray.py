"""The same batches on a Ray cluster: actors with a model each draw and judge; this process alone
writes, as it does for a local run.

Batches are handed out as they are finished (``pool``), so that memory does not grow with the run,
and those of a lost actor or node are drawn by another one. A batch has the same results wherever it
is drawn, and its rows are committed once, so nothing is lost or doubled. A worker that hangs aborts
the run, since it cannot be known whether it will ever answer.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice
from typing import Any, TypeVar

from safelatent.errors import UnsupportedError
from safelatent.optional import require
from safelatent.runs.engines.pool import Pool, failed
from safelatent.runs.plan import Batch
from safelatent.runs.settings import RunRequest, RunSettings
from safelatent.runs.store import Result
from safelatent.text import one_line, squeezed

TIMEOUT = 60.0  # minutes without a finished batch after which a run is aborted

Work = TypeVar("Work")
Made = TypeVar("Made")
Saved = TypeVar("Saved")


class Actor:
    """One process of the cluster: what ``make`` returns (a model and its detectors), made once, at
    the first batch.

    Failures are passed on as a line of text, since Ray would bury them in its own pages.
    """

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self.make = make

    @cached_property
    def work(self) -> Callable[[Any], Any]:
        return self.make()

    def ready(self) -> None:
        """Answer that the process has begun."""

    def draw(self, batch: Any) -> tuple[Any, str | None]:
        """Return the results, or why there are none."""
        try:
            return self.work(batch), None
        except Exception as error:  # noqa: BLE001  # whatever it is, the writer has to know
            return None, one_line(error)


def model_worker(request: RunRequest, settings: RunSettings) -> Callable[[Batch], list[Result]]:
    """Load the model on the actor's machine, in the run's dtype on the run's kind of device; return
    what draws and judges a batch.

    Raises:
        UnsupportedError: the machine's model or detectors differ from the run's.
    """
    from safelatent.models import model_digest, model_folder
    from safelatent.runs.prepare import load_parts
    from safelatent.runs.worker import Worker

    pipe, protocol = load_parts(replace(request, device=settings.device, dtype=settings.dtype))
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
    done; it is called in this process. No cluster is started if there is no batch.

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
    left = iter(batches)
    first = list(islice(left, 1))
    if not first:
        return
    ray = _connected(address)
    resources: dict[str, Any] = {"num_gpus": 1} if gpus else {"num_cpus": 1}
    workers = max(1, int(ray.cluster_resources().get("GPU" if gpus else "CPU", 1)))
    remote = ray.remote(Actor).options(**resources)
    try:
        with closing(Pool(ray, lambda: remote.remote(make), workers)) as pool:
            for made in pool.drawn(chain(first, left), timeout):
                yield save(made)
    except ray.exceptions.RayError as error:
        raise failed(one_line(error)[:300]) from error


def require_ray() -> Any:
    """Import Ray.

    Raises:
        UnsupportedError: it is not installed.
    """
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
    return ray
