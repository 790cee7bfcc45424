"""Batches on this machine: while one is denoised, the next one's texts are encoded and the last one's images decoded and judged."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from safelatent.runs.maker import Maker, Texts
from safelatent.runs.plan import Batch
from safelatent.runs.result import Result

WAITING = 2  # batches that may wait to be decoded and judged; more would only fill the memory


def run_local(maker: Maker, batches: Iterable[Batch]) -> Iterator[list[Result]]:
    """The results of each batch, in order."""
    with ThreadPoolExecutor(1, "texts") as before, ThreadPoolExecutor(1, "finish") as after:
        waiting: deque[Future[list[Result]]] = deque()
        try:
            for texts in _ahead(maker, batches, before):
                waiting.append(after.submit(maker.finish, maker.denoise(texts)))
                while waiting and (len(waiting) > WAITING or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _ahead(maker: Maker, batches: Iterable[Batch], pool: ThreadPoolExecutor) -> Iterator[Texts]:
    """Texts of every batch, the next one's under way while the last one's are used."""
    coming: Future[Texts] | None = None
    for batch in batches:
        ready, coming = coming, pool.submit(maker.texts, batch)
        if ready is not None:
            yield ready.result()
    if coming is not None:
        yield coming.result()
