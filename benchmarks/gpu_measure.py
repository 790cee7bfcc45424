"""Parity with the CPU, and times, memory and host synchronisations on a GPU (``gpu``)."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from benchmarks.__main__ import the_peer
from benchmarks.gpu_models import MODELS, made
from safelatent import guard

PROMPT = "a penguin with a pistol"
# How far latents may be from the CPU's in single precision, relative to their own size (root mean
# squares), after ``PARITY_STEPS`` steps: rounding adds up from step to step.
TOLERANCES = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
PARITY_STEPS = 8
WAYS = ("plain", "CPU offload", "torch.compile")  # in a rehearsal on the CPU, the first
STEPS = 50
BATCHES = {1: STEPS, 8: 10}  # images a call: steps that are timed, reckoned to 50
METHODS = ("weak", "medium", "max")

Call = Callable[[], Any]


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
    for name in MODELS:
        side = 64
        wanted = _latents(
            guard(made(name, "cpu", torch.float32, small=True), "max"), PARITY_STEPS, side
        )
        for precision, most in TOLERANCES.items():
            dtype = getattr(torch, precision)
            for way in WAYS if device != "cpu" else WAYS[:1]:
                pipe = _in_way(made(name, "cpu", dtype, small=True), device, way)
                found = _latents(guard(pipe, "max"), PARITY_STEPS, side)
                off = distance(found, wanted)
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


def methods(name: str, pipe: Any) -> dict[str, Any]:
    """What is timed, by name. The peer knows Stable Diffusion 1.x alone."""
    calls: dict[str, Any] = {"plain guidance": pipe}
    calls |= {f"guard, {strength}": guard(pipe, strength) for strength in METHODS}
    if name == "SD 1.5":
        calls["diffusers Safe"] = the_peer(pipe)
    return calls


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


def timed(call: Call, device: str) -> tuple[float, float, int]:
    """Seconds, peak GiB of device memory, and synchronisations of one call after another."""
    call()
    on_cuda = device != "cpu"
    if on_cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    call()
    if on_cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_cuda else 0.0
    with synchronisations(device) as counted:
        call()
    return seconds, peak, counted[0]


def speed(device: str, deadline: float, *, small: bool) -> Iterator[dict[str, Any]]:
    """Times by model, batch size and method; what would begin after ``deadline`` is left out."""
    for name, (_, side) in MODELS.items():
        pipe = made(name, device, torch.float32 if device == "cpu" else torch.float16, small=small)
        for batch, steps in BATCHES.items():
            steps, pixels = (2, 64) if small else (steps, side)
            settings = {"num_inference_steps": steps, "height": pixels, "width": pixels}
            for method, call in methods(name, pipe).items():
                row = {"model": name, "pixels": pixels, "batch": batch, "method": method}
                if time.monotonic() > deadline:
                    yield row | {"left out": True}
                    continue
                run = partial(call, [PROMPT] * batch, output_type="latent", **settings)
                seconds, peak, waits = timed(run, device)
                row |= {"seconds": seconds * STEPS / steps, "peak GiB": peak}
                yield row | {"steps timed": steps, "synchronisations a step": waits / steps}
