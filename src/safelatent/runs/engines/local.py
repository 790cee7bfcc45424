"""Batches on this machine: while one is denoised, the next one's texts are encoded, and the last
one's images decoded, judged and saved.

No third batch is begun before the first is saved: whatever happens, at most the batch that was
being denoised is lost, and the one before it if it was not saved yet.

What runs in parallel to the denoiser gets a quarter of torch's threads. With as many as the
denoiser has there are more threads than cores, and OpenMP then lets all of them sleep between
operations, the denoiser's too: a small model takes a quarter longer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from safelatent.runs.plan import Batch
from safelatent.runs.store import Result
from safelatent.runs.worker import Encoded, Worker

Saved = TypeVar("Saved")


def run_local(
    worker: Worker, batches: Iterable[Batch], save: Callable[[list[Result]], Saved]
) -> Generator[Saved, None, None]:
    """Yield what ``save`` returns for the results of each batch, in order.

    ``save`` is called in another thread, for one batch at a time.
    """
    with _parallel("encode") as before, _parallel("finish") as after:
        last: Future[Saved] | None = None
        for encoded in _encoded(worker, batches, before):
            denoised = worker.denoise(encoded)
            if last is not None:
                yield last.result()
            last = after.submit(lambda drawn=denoised: save(worker.finish(drawn)))
        if last is not None:
            yield last.result()


@contextmanager
def _parallel(name: str) -> Iterator[ThreadPoolExecutor]:
    """A thread for one thing at a time, with its share of torch's threads."""
    threads = torch.get_num_threads()
    share = (max(1, threads // 4),)
    try:
        with ThreadPoolExecutor(1, name, torch.set_num_threads, share) as pool:
            yield pool
    finally:
        # The number of the thread that set it last is that of every thread to come.
        torch.set_num_threads(threads)


def _encoded(
    worker: Worker, batches: Iterable[Batch], pool: ThreadPoolExecutor
) -> Iterator[Encoded]:
    """Every batch encoded, the next one in parallel to the use of the last one."""
    coming: Future[Encoded] | None = None
    for batch in batches:
        ready, coming = coming, pool.submit(worker.encode, batch)
        if ready is not None:
            yield ready.result()
    if coming is not None:
        yield coming.result()
