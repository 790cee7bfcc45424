"""Parity with the CPU, and times, memory and host synchronisations on a GPU (``gpu``)."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from benchmarks.peers import SAFE
from benchmarks.random_models import MODELS, made
from benchmarks.speed_cases import PLAIN, PLANNED, STRENGTHS, methods
from safelatent import guard
from safelatent.errors import SafelatentError

PROMPT = "a penguin with a pistol"
# How far latents may be from the CPU's in single precision, relative to their own size (root mean
# squares), after ``PARITY_STEPS`` steps: rounding adds up from step to step.
TOLERANCES = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
PARITY_STEPS = 8
# Ways to run a model, and the plan of each.
WAYS = {"plain": "exact", "plan fast": "fast", "CPU offload": "exact", "torch.compile": "exact"}
REHEARSED = ("plain", "plan fast")
STEPS = 50
BATCHES = (1, 8)  # images a call
LATE = "no time left"
FIRST_STEPS = 16  # of the call before the timed one
# Those of ``speed_cases.methods`` that six minutes suffice for. The peer knows SD 1.x alone.
TIMED = (PLAIN, *(f"guard, {name}" for name in STRENGTHS), f"guard, {PLANNED}, plan fast", SAFE)


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The root mean square of the difference, as a share of that of ``wanted``."""
    wanted = wanted.float().cpu()
    off = found.float().cpu() - wanted
    return float(off.square().mean().sqrt() / wanted.square().mean().sqrt())


def _latents(call: Any, steps: int, side: int) -> torch.Tensor:
    generator = torch.Generator("cpu").manual_seed(0)
    size = {"height": side, "width": side, "num_inference_steps": steps}
    return call(PROMPT, generator=generator, output_type="latent", **size).images


def parity(device: str) -> Iterator[dict[str, Any]]:
    """Distances to the CPU: every model, precision, and way to run it. Small models throughout."""
    side = 64
    for name in MODELS:
        like = made(name, "cpu", torch.float32, small=True)
        wanted = {
            plan: _latents(guard(like, "max", plan=plan), PARITY_STEPS, side)
            for plan in dict.fromkeys(WAYS.values())
        }
        for precision, most in TOLERANCES.items():
            dtype = getattr(torch, precision)
            for way in WAYS if device != "cpu" else REHEARSED:
                pipe = _in_way(made(name, "cpu", dtype, small=True), device, way)
                found = _latents(guard(pipe, "max", plan=WAYS[way]), PARITY_STEPS, side)
                off = distance(found, wanted[WAYS[way]])
                row = {"model": name, "precision": precision, "way": way, "distance": off}
                yield row | {"tolerance": most, "passed": off <= most}


def _in_way(pipe: Any, device: str, way: str) -> Any:
    if way == "CPU offload":
        pipe.enable_model_cpu_offload(device=device)
        return pipe
    pipe.to(device)
    if way == "torch.compile":
        part = "unet" if hasattr(pipe, "unet") else "transformer"
        getattr(pipe, part).compile()
    return pipe


@contextmanager
def synchronisations(device: str) -> Iterator[list[int]]:
    """Counts how often the host waits for the device, into the list's only entry."""
    counted = [0]
    if device == "cpu":
        yield counted
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield counted
        finally:
            torch.cuda.set_sync_debug_mode("default")
            counted[0] = sum("synchroniz" in str(one.message) for one in caught)


def timed(call: Any, device: str, steps: int, **settings: Any) -> dict[str, float]:
    """Seconds, peak GiB of device memory and synchronisations a step, of one call of ``steps``.

    A shorter call goes before it, which allocates and chooses kernels; a third of the same length
    counts the synchronisations.
    """
    first = min(steps, FIRST_STEPS)
    call(num_inference_steps=first, **settings)
    on_cuda = device != "cpu"
    if on_cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    call(num_inference_steps=steps, **settings)
    if on_cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_cuda else 0.0
    with synchronisations(device) as counted:
        call(num_inference_steps=first, **settings)
    return {"seconds": seconds, "peak GiB": peak, "waits a step": counted[0] / first}


def speed(device: str, deadline: float, *, small: bool) -> Iterator[dict[str, Any]]:
    """Times by batch size, model and method; what would begin after ``deadline``, or is refused, is
    left out with the reason.
    """
    dtype, steps = (torch.float32, FIRST_STEPS) if small else (torch.float16, STEPS)
    for batch in BATCHES:
        for name, (*_, side) in MODELS.items():
            pixels = 64 if small else side
            size: dict[str, Any] = {"height": pixels, "width": pixels, "output_type": "latent"}
            row = {"model": name, "pixels": pixels, "batch": batch}
            if time.monotonic() > deadline:
                yield row | {"method": "all", "left out": LATE}
                continue
            ways = methods(made(name, device, dtype, small=small))
            for method in TIMED:
                if isinstance(call := ways[method], str):  # a peer that knows other models
                    continue
                given = {"prompt": [PROMPT] * batch, **size}
                yield row | {"method": method} | _figures(call, device, steps, deadline, given)


def _figures(
    call: Any, device: str, steps: int, deadline: float, given: dict[str, Any]
) -> dict[str, Any]:
    """Return what was measured, or why nothing was."""
    if time.monotonic() > deadline:
        return {"left out": LATE}
    try:
        return timed(call, device, steps, **given)
    except SafelatentError as error:
        return {"left out": f"refused: {error}"}
