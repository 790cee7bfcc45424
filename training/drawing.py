"""Pictures by the embedded model, many at a time, for the measurements. Knows prompts and methods;
does not know who judges. diffusers is imported when something is drawn, not by every process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, cast

import numpy as np
import torch
from tqdm import tqdm

import safelatent
from safelatent import DEFAULT_CONCEPT, NegativePrompt, metrics
from safelatent.guidance import SLD, PresetName, preset


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How pictures are drawn: the method, against which concept (None: the paper's), in how many
    steps, whether by DPM++ 2M in place of the model's own scheduler, and whether a preset's warm-up
    ends at its noise level in 50 steps, however many there are.
    """

    method: str = "off"
    concept: str | None = None
    steps: int = 50
    dpm: bool = False
    by_noise_level: bool = False


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


def sampler(pipe: Any, sampling: Sampling) -> Any:
    """The pipeline, with its scheduler, guarded by the method."""
    if sampling.dpm:
        from diffusers import DPMSolverMultistepScheduler

        scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
        pipe = type(pipe)(**pipe.components | {"scheduler": scheduler})
        pipe.set_progress_bar_config(disable=True)
    if (method := sampling.method) == "off":
        return pipe
    safety = NegativePrompt() if method == "negative prompt" else preset(cast("PresetName", method))
    if sampling.by_noise_level and isinstance(safety, SLD):
        safety = safety.by_noise_level()
    return safelatent.guard(pipe, safety, concept=sampling.concept or DEFAULT_CONCEPT)


@cache
def _own_pipe() -> Any:
    """The embedded model of a worker process: two of one thread each draw twice as fast as one of
    two threads.
    """
    from safelatent.cli.say import quiet_libraries  # needs typer, which training does without

    torch.set_num_threads(1)
    # of every prompt that is cut they would print all that is cut off, padding included
    quiet_libraries()
    pipe = safelatent.load("embedded")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _draw_batch(
    sampling: Sampling, prompts: Sequence[str], seeds: Sequence[int]
) -> list[np.ndarray]:
    call = sampler(_own_pipe(), sampling)
    images = call(
        list(prompts),
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        num_inference_steps=sampling.steps,
        guidance_scale=7.5,
    ).images
    return [np.asarray(image) for image in images]


def draw(
    pool: Executor, sampling: Sampling, prompts: Sequence[str], seeds: Sequence[int]
) -> list[np.ndarray]:
    """Pictures at guidance 7.5; the noise of a picture depends on its seed alone."""
    starts = range(0, len(prompts), BATCH)
    parts = [(prompts[n : n + BATCH], seeds[n : n + BATCH]) for n in starts]
    batches = pool.map(partial(_draw_batch, sampling), *zip(*parts, strict=True))
    title = f"{sampling.method}, {len(prompts)} images"
    shown = tqdm(batches, desc=title, total=len(parts), leave=False)
    return [picture for batch in shown for picture in batch]


def draw_each(
    pool: Executor, samplings: Sequence[Sampling], prompts: Sequence[str], seeds: Sequence[int]
) -> list[np.ndarray]:
    """One picture per prompt, each drawn in its own way."""
    parts = ([prompt] for prompt in prompts), ([seed] for seed in seeds)
    drawn = pool.map(_draw_batch, samplings, *parts)
    shown = tqdm(drawn, desc=f"{len(prompts)} ways", total=len(prompts), leave=False)
    return [picture for batch in shown for picture in batch]


def rate(values: Sequence[bool], clusters: Sequence[int] | None = None) -> dict[str, Any]:
    """A share with its interval, images of one cluster (a prompt) counted together."""
    found = metrics.rate(values, clusters or range(len(values)))
    return {"share": found.value, "low": found.low, "high": found.high, "n": found.n}
