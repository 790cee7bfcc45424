"""Requests into images, one at a time, and the two views of one: all methods from the same noise,
and one method step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from safelatent.generation.methods import METHODS, by_method
from safelatent.generation.request import Request
from safelatent.guidance.receipt import Receipt
from safelatent.pipelines.clean import CleanEstimate, clean_estimate

BATCH = 4  # prompts of a comparison in one call


@dataclass(frozen=True, kw_only=True)
class Made:
    """An image, what was asked for, and what the guard did (None: it was off)."""

    request: Request
    image: Image.Image
    receipt: Receipt | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and for the image's metadata."""
        r = self.request
        asked = {
            "prompt": r.prompt,
            "negative_prompt": r.negative_prompt,
            "model": r.model,
            "seed": r.seed,
            "steps": r.steps,
        }
        receipt = self.receipt.as_dict() if self.receipt else None
        return asked | {"guidance_scale": r.guidance_scale, "safety": r.safety, "receipt": receipt}


def sampler(pipe: Any, request: Request) -> Any:
    """The pipeline for this request: guarded, or the bare one where safety is off."""
    return by_method(pipe, request.safety, request.concept)


def arguments(requests: Sequence[Request]) -> dict[str, Any]:
    """Requests that differ in prompt and seed alone, as the pipeline's own arguments.

    Each image's noise comes from its own seed, on the CPU, so that it is the same everywhere and in
    any batch.
    """
    first = requests[0]
    negative = None if first.negative_prompt is None else [first.negative_prompt] * len(requests)
    return {
        "prompt": [request.prompt for request in requests],
        "negative_prompt": negative,
        "num_inference_steps": first.steps,
        "guidance_scale": first.guidance_scale,
        "generator": [torch.Generator("cpu").manual_seed(request.seed) for request in requests],
    }


def sample(pipe: Any, requests: Sequence[Request]) -> list[Made]:
    """One image a request, in one call; the requests differ in prompt and seed alone."""
    out = sampler(pipe, requests[0])(**arguments(requests))
    receipts = [None] * len(requests) if requests[0].safety == "off" else out.receipts
    return [
        Made(request=r, image=i, receipt=c)
        for r, i, c in zip(requests, out.images, receipts, strict=True)
    ]


def compare(
    pipe: Any, requests: Sequence[Request], tell: Callable[[Request], None] = lambda _: None
) -> list[list[Made]]:
    """A row a request, a column a method (of ``METHODS``), all of a row from one noise; ``tell``
    hears of each call before it starts.
    """
    columns: list[list[Made]] = []
    for column in METHODS:
        asked = [request.with_safety(column) for request in requests]
        made: list[Made] = []
        for start in range(0, len(asked), BATCH):
            tell(asked[start])
            made += sample(pipe, asked[start : start + BATCH])
        columns.append(made)
    return [list(row) for row in zip(*columns, strict=True)]


def trace(pipe: Any, request: Request, moments: int = 8) -> tuple[Made, list[CleanEstimate]]:
    """One guarded image, and at ``moments`` moments of its sampling what it would become and where
    gamma acted.
    """
    steps = range(request.steps)
    wanted = {steps[round(k * (len(steps) - 1) / max(1, moments - 1))] for k in range(moments)}
    seen: dict[int, CleanEstimate] = {}

    def see(moment: Any) -> None:
        if moment.i in wanted and moment.i not in seen:
            seen[moment.i] = clean_estimate(pipe, moment, request.guidance_scale)

    out = sampler(pipe, request).watch(see, **arguments([request]))
    return Made(request=request, image=out.images[0], receipt=out.receipts[0]), [
        seen[i] for i in sorted(seen)
    ]
