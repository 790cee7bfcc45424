"""Batches on this machine: while one is denoised, the next one's texts are encoded, and the last
one's images decoded, judged and kept.

No third batch is begun before the first is kept: whatever happens, what is lost is the batch that
was being denoised, and the one before it where that was not kept yet.

What runs beside the denoiser gets a quarter of torch's threads. With as many as the denoiser has
there are more threads than cores, and OpenMP then lets all of them sleep between operations, the
denoiser's too: a small model takes a quarter longer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from safelatent.runs.maker import Maker, Texts
from safelatent.runs.plan import Batch
from safelatent.runs.result import Result

Kept = TypeVar("Kept")


def run_local(
    maker: Maker, batches: Iterable[Batch], keep: Callable[[list[Result]], Kept]
) -> Generator[Kept, None, None]:
    """What ``keep`` makes of the results of each batch, in order; it is called in a thread of its
    own, for one batch at a time.
    """
    with _beside("texts") as before, _beside("finish") as after:
        last: Future[Kept] | None = None
        for texts in _ahead(maker, batches, before):
            denoised = maker.denoise(texts)
            if last is not None:
                yield last.result()
            last = after.submit(lambda made=denoised: keep(maker.finish(made)))
        if last is not None:
            yield last.result()


@contextmanager
def _beside(name: str) -> Iterator[ThreadPoolExecutor]:
    """A thread for one thing at a time, with its share of torch's threads."""
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            1, name, initializer=torch.set_num_threads, initargs=(max(1, threads // 4),)
        ) as pool:
            yield pool
    finally:
        torch.set_num_threads(
            threads
        )  # the number of the thread that set it last is that of every thread to come


def _ahead(maker: Maker, batches: Iterable[Batch], pool: ThreadPoolExecutor) -> Iterator[Texts]:
    """Texts of every batch, the next one's under way while the last one's are used."""
    coming: Future[Texts] | None = None
    for batch in batches:
        ready, coming = coming, pool.submit(maker.texts, batch)
        if ready is not None:
            yield ready.result()
    if coming is not None:
        yield coming.result()
