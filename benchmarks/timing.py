"""Interleaved timing, the one way in which times are compared here, and the count of evaluations.

Times on shared machines mean little; ratios within one round do. A round calls every run once, so
that a slow moment meets all of them, and every other round in the opposite order, so that none is
always first.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

Run = Callable[[], Any]
Times = dict[str, list[float]]  # seconds of every run, one per round


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Median, least and greatest over the rounds."""

    median: float
    least: float
    greatest: float


def rounds_of(
    runs: Mapping[str, Run], times: Times, rounds: int, deadline: float
) -> Iterator[None]:
    """Append a time to each run's, round by round, and yield after each, so that it can be saved.

    Args:
        runs: called once before by whoever asks, so that nothing is timed for the first time.
        times: as many for each run; those of earlier rounds stay.
        rounds: how many there shall be at the end.
        deadline: by ``time.monotonic``; no round begins that would probably end after it, but for
            the first.
    """
    begun, took = min((len(times[name]) for name in runs), default=0), 0.0
    for n in range(begun, rounds):
        start = time.monotonic()
        if n and start + took > deadline:
            return
        found: dict[str, float] = {}
        for name in runs if n % 2 == 0 else reversed(list(runs)):
            before = time.perf_counter()
            runs[name]()
            found[name] = time.perf_counter() - before
        for name, seconds in found.items():
            times[name].append(seconds)
        took = time.monotonic() - start
        yield


def ratio(times: Times, name: str, base: str) -> Ratio:
    """Return the ratio of a run's time to that of ``base``, round by round."""
    each = [a / b for a, b in zip(times[name], times[base], strict=True)]
    return Ratio(median=statistics.median(each), least=min(each), greatest=max(each))


@contextmanager
def denoiser_rows(pipe: Any) -> Iterator[list[int]]:
    """Yield how many rows each call of the denoiser has, counted at its last layer."""
    rows: list[int] = []
    unet = getattr(pipe, "unet", None)
    last = pipe.transformer.proj_out if unet is None else unet.conv_out
    handle = last.register_forward_hook(lambda _, given, __: rows.append(len(given[0])))
    try:
        yield rows
    finally:
        handle.remove()


def machine() -> dict[str, Any]:
    """Return what the times depend on: processor, cores, load, threads and versions."""
    import diffusers

    cpu = Path("/proc/cpuinfo")
    named = [
        line.partition(":")[2].strip()
        for line in (cpu.read_text().splitlines() if cpu.exists() else ())
        if line.startswith("model name")
    ]
    return {
        "processor": named[0] if named else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load before": round(os.getloadavg()[0], 1),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }
