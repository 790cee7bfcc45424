"""Requests into images, with or without a policy, and the two views of one: all methods from the
same noise, and one method step by step beside the unguarded call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from PIL import Image

from safelatent.errors import BadValueError, NotGuardedError
from safelatent.generation.methods import METHODS, by_method
from safelatent.generation.request import DEMANDED, SAVED, Request
from safelatent.guidance import (
    SLD,
    Correction,
    Estimates,
    Guidance,
    NoiseLevel,
    PresetName,
    preset,
)
from safelatent.guidance.receipt import Receipt
from safelatent.pipelines.classic.families import text_as_given
from safelatent.pipelines.clean import CleanEstimate, clean_estimate
from safelatent.pipelines.guard import guard
from safelatent.pipelines.guarded import Guarded
from safelatent.pipelines.safety import ADAPTIVE
from safelatent.pipelines.schedule import is_flow
from safelatent.policy import Policy
from safelatent.policy.decision import PolicyReceipt
from safelatent.policy.enforce import UnderPolicy

BATCH = 4  # prompts of a comparison in one call


@dataclass(frozen=True, kw_only=True)
class Made:
    """An image, what was asked for, and what the guard did (None: it was off)."""

    request: Request
    image: Image.Image
    receipt: Receipt | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and for a sheet's metadata."""
        return self.request.facts | {"receipt": self.receipt.as_dict() if self.receipt else None}


def own_settings(request: Request, *, flow: bool = False) -> SLD:
    """Return the request's preset with its own settings in place of the preset's.

    Args:
        flow: whether the model is rectified flow: a preset's warm-up is then a noise level.

    Raises:
        BadValueError: a setting out of range, or the safety is no preset.
    """
    if request.safety == ADAPTIVE:
        raise BadValueError(
            f"{', '.join(name for name, _ in request.settings)} is of a preset, and the safety is"
            " adaptive; leave it out, or choose a preset"
        )
    values: dict[str, Any] = dict(request.settings)
    if "warmup_noise_level" in values:
        values["warmup"] = NoiseLevel(values.pop("warmup_noise_level"))
    named = preset(cast("PresetName", request.safety))  # which the request has checked
    return replace(named.by_noise_level() if flow else named, **values)


def sampler(pipe: Any, request: Request) -> Any:
    """Return the pipeline for this request: guarded, or the bare one where safety is off."""
    if request.safety == SAVED:
        return pipe
    if request.settings:
        settings = own_settings(request, flow=is_flow(pipe.scheduler))
        return guard(pipe, settings, concept=request.concept, plan=request.plan)
    return by_method(pipe, request.safety, request.concept, request.plan)


def arguments(pipe: Any, requests: Sequence[Request]) -> dict[str, Any]:
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
        **text_as_given(pipe.pipe if isinstance(pipe, Guarded) else pipe),
    }


def sample(pipe: Any, requests: Sequence[Request]) -> list[Made]:
    """Draw one image per request, in one call; the requests differ only in prompt and seed."""
    out = sampler(pipe, requests[0])(**arguments(pipe, requests))
    receipts = [None] * len(requests) if requests[0].safety == "off" else out.receipts
    return [
        Made(request=r, image=i, receipt=c)
        for r, i, c in zip(requests, out.images, receipts, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What was asked for, what may leave (None: nothing), and why."""

    request: Request
    image: Image.Image | None
    receipt: PolicyReceipt

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, also of an image that was refused."""
        return self.request.facts | {"decision": self.receipt.as_dict()}


def under(pipe: Any, policy: Policy, request: Request) -> UnderPolicy:
    """Return the pipeline under a policy, which the request's safety makes stricter.

    A request for ``off``, for what is demanded, or for the policy's own concept, asks for nothing
    more.
    """
    asked: dict[str, Any] = (
        {} if request.concept == policy.concept else {"concept": request.concept}
    )
    safety: PresetName | SLD | None = None
    if request.settings:
        safety = own_settings(request)
        if not {"warmup", "warmup_noise_level"} & {name for name, _ in request.settings}:
            named = preset(cast("PresetName", request.safety))
            safety = replace(safety, warmup=named.by_noise_level().warmup)
    elif request.safety not in ("off", DEMANDED):
        safety = cast("PresetName", request.safety)
    if safety is not None:
        asked["safety"] = safety
    return guard(pipe, policy=policy, **asked)


def sample_under(safe: UnderPolicy, requests: Sequence[Request]) -> list[Decided]:
    """Draw one image per request, in one call; the requests differ only in prompt and seed."""
    out = safe(**arguments(safe, requests))
    return [
        Decided(request=request, image=image, receipt=receipt)
        for request, image, receipt in zip(requests, out.images, out.receipts, strict=True)
    ]


def compare(
    pipe: Any, requests: Sequence[Request], tell: Callable[[Request], None] = lambda _: None
) -> list[list[Made]]:
    """Draw a row per request, a column per method (of ``METHODS``), each row from the same noise;
    ``tell`` is called before each call.
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


@dataclass(frozen=True, kw_only=True)
class TracedStep:
    """One step of an image, drawn unguarded and guarded from the same noise."""

    unguarded: CleanEstimate
    guarded: CleanEstimate


def trace(pipe: Any, request: Request, shown: int = 8) -> tuple[Made, list[TracedStep]]:
    """Draw one image guarded and unguarded, and look at both at ``shown`` steps.

    Returns:
        The guarded image, and what both would become at those steps, the last one included.
    """
    steps = range(request.steps)
    wanted = {steps[round(k * (len(steps) - 1) / max(1, shown - 1))] for k in range(shown)}
    safe = sampler(pipe, request)
    bare = safe.pipe
    guarded: dict[int, CleanEstimate] = {}
    unguarded: dict[int, CleanEstimate] = {}

    def into(seen: dict[int, CleanEstimate]) -> Callable[[Any], None]:
        def look(step: Any) -> None:
            if step.i in wanted and step.i not in seen:
                seen[step.i] = clean_estimate(bare, step, request.guidance_scale)

        return look

    out = safe.watch(into(guarded), **arguments(bare, [request]))
    with suppress(NotGuardedError):  # nothing is changed, so the image is refused after the steps
        plain = guard(bare, Unchanged(), concept=request.concept)
        plain.watch(into(unguarded), **arguments(bare, [request]))
    made = Made(request=request, image=out.images[0], receipt=out.receipts[0])
    return made, [TracedStep(unguarded=unguarded[i], guarded=guarded[i]) for i in sorted(guarded)]


@dataclass(frozen=True, kw_only=True)
class Unchanged(Guidance):
    """Classifier-free guidance alone, as a ``Guidance``: so an unguarded call can be watched."""

    @property
    def needs_uncond(self) -> bool:
        return True

    @property
    def rows(self) -> int | None:
        return None

    def acts_from(self) -> int:
        return 0

    def row(self, b: int) -> Unchanged:
        return self

    def on(self, levels: Sequence[float]) -> Unchanged:
        return self

    def needs_concept(self, i: int) -> bool:
        return False

    def init(self, latents: Any) -> None:
        return None

    def correct(
        self, estimates: Estimates, state: None, i: int, unit: float = 1.0
    ) -> tuple[Correction, None]:
        """Return the model's own two estimates."""
        own = estimates.prompt
        acts = torch.ones(len(own), dtype=torch.bool, device=own.device)
        assert estimates.uncond is not None
        return Correction(uncond=estimates.uncond, prompt=own, acts=acts), None
