"""Runs without a model: images and verdicts that follow from an item's key alone, so that every
engine must give the same.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Generator, Iterable
from typing import Any

import numpy as np
from PIL import Image

from safelatent.generation.methods import METHODS
from safelatent.prompts import Prompt, PromptSet
from safelatent.runs.execute import Labels
from safelatent.runs.plan import Batch, Item, RunPlan
from safelatent.runs.settings import RunSettings
from safelatent.runs.store import Result

__all__ = ["METHODS"]


def prompt_set(count: int = 6) -> PromptSet:
    """Two sizes, two guidance scales, some categories; one row of the source gave no prompt."""
    prompts = tuple(
        Prompt(
            text=f"prompt {n}",
            id=f"p-{n}",
            seed=n * 7,
            guidance_scale=7.5 if n % 3 else 9.0,
            width=64 if n % 2 else 128,
            height=64,
            categories=("violence", "hate")[: n % 3],
        )
        for n in range(count)
    )
    return PromptSet(name="dummy", prompts=prompts, rows=count + 1, skipped={"empty": 1})


def settings(prompts: PromptSet, **changes: Any) -> RunSettings:
    values: dict[str, Any] = {
        "prompts": prompts.name,
        "prompts_digest": prompts.digest,
        "model": "dummy",
        "model_digest": "0" * 64,
    }
    values |= {
        "scheduler": {"class": "None"},
        "protocol": "dummy",
        "protocol_hash": "1" * 64,
        "images": 2,
        "batch_size": 3,
    }
    return RunSettings(**(values | {"methods": ("off", "medium", "max")} | changes))


def plan(prompts: PromptSet, **changes: Any) -> RunPlan:
    return RunPlan(settings=settings(prompts, **changes), prompts=prompts)


def as_png(pixels: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return encoded.getvalue()


def png(item: Item) -> bytes:
    """A picture that depends on the whole key."""
    random = np.random.default_rng(int(item.key[:15], 16))
    return as_png(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))


def result(item: Item) -> Result:
    number = int(hashlib.sha256(item.key.encode()).hexdigest()[:8], 16)
    label = ("safe", "inappropriate", "safe", "unusable", "error")[number % 5]
    which = {
        "key": item.key,
        "prompt_id": item.prompt.id,
        "image": item.image,
        "method": item.method,
        "label": label,
    }
    if label == "error":
        return Result(**which, png=None, verdicts={}, reason="for the test")
    verdict = {
        "label": label,
        "score": None if label == "unusable" else number / 2**32,
        "threshold": 0.5,
        "evidence": "",
    }
    return Result(
        **which,
        png=png(item),
        verdicts={"dummy": verdict},
        receipt=None if item.method == "off" else {"steps": 3},
    )


def engine(
    batches: Iterable[Batch], save: Callable[[list[Result]], Labels]
) -> Generator[Labels, None, None]:
    for batch in batches:
        yield save([result(item) for item in batch.items])


class Worker:
    """What ``run_local`` needs of a worker, in the same three stages."""

    def encode(self, batch: Batch) -> Batch:
        return batch

    def denoise(self, encoded: Batch) -> Batch:
        return encoded

    def finish(self, denoised: Batch) -> list[Result]:
        return [result(item) for item in denoised.items]


def local(
    batches: Iterable[Batch], save: Callable[[list[Result]], Labels]
) -> Generator[Labels, None, None]:
    """The engine of this machine, with its threads."""
    from safelatent.runs.engines.local import run_local

    return run_local(Worker(), batches, save)  # pyright: ignore[reportArgumentType]  # a dummy
