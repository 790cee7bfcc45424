"""Features on a Ray cluster: actors with a network each open and embed the pictures; this process
alone writes. Every machine has to see the pictures under the same paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from safelatent.errors import UnsupportedError
from safelatent.features.embedding import Computed, Embedder, Engine, Part, compute
from safelatent.features.pictures import Packed, Picture
from safelatent.runs.engines.ray import TIMEOUT, run_ray


def on_cluster(
    address: str | None = None, *, gpus: bool = False, timeout: float = TIMEOUT
) -> Callable[[Embedder], Engine]:
    """Return what gives an extractor its engine on a cluster; arguments as in ``run_ray``."""

    def engine_of(embedder: Embedder) -> Engine:
        make = partial(_worker, embedder.loader(), embedder.hash)

        def engine(parts: Iterable[Part]) -> Iterator[Computed]:
            return run_ray(
                make, address, gpus, timeout, map(_absolute, parts), lambda computed: computed
            )

        return engine

    return engine_of


def _worker(load: Callable[[], Embedder], known: str) -> Callable[[Part], Computed]:
    """Load the extractor on the actor's machine; return what computes a part.

    Raises:
        UnsupportedError: it differs from that of the process that asks.
    """
    embedder = load()
    if embedder.hash != known:
        raise UnsupportedError(
            f"a worker's {embedder.name!r} is not that of this machine ({embedder.hash[:12]} and"
            f" {known[:12]}); install the same on every machine"
        )
    return partial(compute, embedder)


def _absolute(part: Part) -> Part:
    groups = tuple(tuple(map(_placed, group)) for group in part.groups)
    return replace(part, groups=groups)


def _placed(picture: Picture) -> Picture:
    if isinstance(picture, Packed):
        return replace(picture, file=picture.file.absolute())
    return Path(picture).absolute()
