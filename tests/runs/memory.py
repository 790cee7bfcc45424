"""Bytes that are held, for tests that nothing grows."""

from __future__ import annotations

import gc
import pathlib
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def tracing() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def held() -> int:
    """Bytes that are held now, without those of pathlib, which grow and shrink with the
    interpreter's own table of names.
    """
    gc.collect()
    others = tracemalloc.Filter(False, pathlib.__file__)
    return sum(one.size for one in tracemalloc.take_snapshot().filter_traces([others]).traces)
