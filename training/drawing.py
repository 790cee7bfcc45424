"""Pictures by the embedded model, many at a time, for the measurements. Knows prompts and methods; does not know who judges."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import cache
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from safelatent import NegativePrompt, guard, load, preset
from safelatent.statistics import bootstrap_by_prompt

METHODS = ("off", "negative prompt", "weak", "medium", "strong", "max")
BATCH = 15


def sampler(pipe: Any, method: str) -> Any:
    """The pipeline, guarded by ``method``."""
    if method == "off":
        return pipe
    return guard(pipe, NegativePrompt() if method == "negative prompt" else preset(method))


@cache
def _own_pipe() -> Any:
    """The embedded model of a worker process: two of one thread each draw twice as fast as one of two threads."""
    torch.set_num_threads(1)
    pipe = load("embedded")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _draw_batch(method: str, prompts: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    call = sampler(_own_pipe(), method)
    images = call(list(prompts), generator=generators, num_inference_steps=50, guidance_scale=7.5).images
    return [np.asarray(image) for image in images]


def draw(pool: Executor, method: str, prompts: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
    """Pictures at 50 steps and guidance 7.5; the noise of a picture depends on its seed alone."""
    starts = range(0, len(prompts), BATCH)
    parts = [(prompts[n : n + BATCH], seeds[n : n + BATCH]) for n in starts]
    batches = pool.map(_draw_batch, [method] * len(parts), *zip(*parts, strict=True))
    shown = tqdm(batches, desc=f"{method}, {len(prompts)} images", total=len(parts), leave=False)
    return [picture for batch in shown for picture in batch]


def rate(values: Sequence[bool], clusters: Sequence[int] | None = None) -> dict[str, Any]:
    """A share with its interval, images of one cluster (a prompt) counted together."""
    found = bootstrap_by_prompt(values, clusters or range(len(values)))
    return {"share": found.value, "low": found.low, "high": found.high, "n": found.n}
