"""Pictures by the embedded model, many at a time, for the measurements. Knows prompts and methods;
does not know who judges.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, cast

import numpy as np
import torch
from tqdm import tqdm

from safelatent import NegativePrompt, guard, load, metrics
from safelatent.cli.say import quiet_libraries
from safelatent.guidance import PresetName

METHODS = ("off", "negative prompt", "weak", "medium", "strong", "max")
BATCH = 15


def workers(count: int) -> ProcessPoolExecutor:
    """Processes that end when this one does, however it ends: else they would draw to the end of
    their queue, and wait.
    """
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    parent = parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=wait, daemon=True).start()


def sampler(pipe: Any, method: str) -> Any:
    """The pipeline, guarded by ``method``."""
    if method == "off":
        return pipe
    return guard(
        pipe, NegativePrompt() if method == "negative prompt" else cast("PresetName", method)
    )


@cache
def _own_pipe() -> Any:
    """The embedded model of a worker process: two of one thread each draw twice as fast as one of
    two threads.
    """
    torch.set_num_threads(1)
    # of every prompt that is cut they would print all that is cut off, padding included
    quiet_libraries()
    pipe = load("embedded")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _draw_batch(method: str, prompts: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    call = sampler(_own_pipe(), method)
    images = call(
        list(prompts), generator=generators, num_inference_steps=50, guidance_scale=7.5
    ).images
    return [np.asarray(image) for image in images]


def draw(
    pool: Executor, method: str, prompts: Sequence[str], seeds: Sequence[int]
) -> list[np.ndarray]:
    """Pictures at 50 steps and guidance 7.5; the noise of a picture depends on its seed alone."""
    starts = range(0, len(prompts), BATCH)
    parts = [(prompts[n : n + BATCH], seeds[n : n + BATCH]) for n in starts]
    batches = pool.map(_draw_batch, [method] * len(parts), *zip(*parts, strict=True))
    shown = tqdm(batches, desc=f"{method}, {len(prompts)} images", total=len(parts), leave=False)
    return [picture for batch in shown for picture in batch]


def rate(values: Sequence[bool], clusters: Sequence[int] | None = None) -> dict[str, Any]:
    """A share with its interval, images of one cluster (a prompt) counted together."""
    found = metrics.rate(values, clusters or range(len(values)))
    return {"share": found.value, "low": found.low, "high": found.high, "n": found.n}
