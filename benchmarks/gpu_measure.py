"""Parity with the CPU, and times, memory and host synchronisations on a GPU (``gpu``).

Minutes are few, so every row has an allotment of what is left of them: the large models take fewer
steps at a large batch, and a row for which too little is left says so. A row that fails costs no
other.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.peers import SAFE
from benchmarks.random_models import MODELS, made
from benchmarks.speed_cases import PLAIN, PLANNED, STRENGTHS, methods
from safelatent import guard
from safelatent.errors import SafelatentError
from safelatent.text import squeezed

PROMPT = "a penguin with a pistol"
# How far latents may be from the CPU's in single precision, relative to their own size (root mean
# squares), after ``PARITY_STEPS`` steps: rounding adds up from step to step.
TOLERANCES = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
PARITY_STEPS, PARITY_SIDE = 8, 64
# Ways to run a model, and the plan of each.
COMPILED = "torch.compile"
WAYS = {"plain": "exact", "plan fast": "fast", "CPU offload": "exact", COMPILED: "exact"}
REHEARSED = ("plain", "plan fast")
# What is compiled: a whole UNet takes a minute for each precision.
BLOCKS = ("BasicTransformerBlock", "JointTransformerBlock")
STEPS = 50  # that times are given for
FEWEST = 6  # that a time is taken from
BATCHES = (1, 8)  # images a call
LATE, OUT_OF_MEMORY = "no time left", "out of memory"
WARMING_STEPS = 2  # of a new model's first call, which loads the device's libraries
FIRST_STEPS = 16  # of the call before the timed one at batch 1, whose waits are counted
FEW_STEPS = 4  # of that call at larger batches
# Those of ``speed_cases.methods`` that six minutes suffice for. The peer knows SD 1.x alone.
TIMED = (PLAIN, *(f"guard, {name}" for name in STRENGTHS), f"guard, {PLANNED}, plan fast", SAFE)


@dataclass(frozen=True, kw_only=True)
class Allotment:
    """The time that a row may take.

    Attributes:
        end: of all rows, on the monotonic clock.
        rows: still to come, this one included.
        step: about how many seconds a step takes.
    """

    end: float
    rows: int
    step: float = 0.0

    @property
    def seconds(self) -> float:
        """An equal part of what is left."""
        return (self.end - time.monotonic()) / self.rows

    def has(self, seconds: float) -> bool:
        """Whether so much is left at all."""
        return time.monotonic() + seconds <= self.end


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The root mean square of the difference, as a share of that of ``wanted``."""
    wanted = wanted.float().cpu()
    off = found.float().cpu() - wanted
    return float(off.square().mean().sqrt() / wanted.square().mean().sqrt())


def _latents(call: Any, steps: int, side: int) -> torch.Tensor:
    generator = torch.Generator("cpu").manual_seed(0)
    size = {"height": side, "width": side, "num_inference_steps": steps}
    return call(PROMPT, generator=generator, output_type="latent", **size).images


def parity(device: str, deadline: float) -> Iterator[dict[str, Any]]:
    """Distances to the CPU: every way to run a model, model and precision. Small models throughout.

    What is compiled comes last, since it takes longest; what would begin after ``deadline`` is left
    out.
    """
    wanted: dict[tuple[str, str], torch.Tensor] = {}
    for name in MODELS:
        like = made(name, "cpu", torch.float32, small=True)
        for plan in dict.fromkeys(WAYS.values()):
            safe = guard(like, "max", plan=plan)
            wanted[name, plan] = _latents(safe, PARITY_STEPS, PARITY_SIDE)
    for way in WAYS if device != "cpu" else REHEARSED:
        for name in MODELS:
            for precision, most in TOLERANCES.items():
                row = {"model": name, "precision": precision, "way": way, "tolerance": most}
                if time.monotonic() > deadline:
                    yield row | {"left out": LATE}
                    continue
                yield row | _apart(name, precision, device, way, wanted[name, WAYS[way]])


def _apart(
    name: str, precision: str, device: str, way: str, wanted: torch.Tensor
) -> dict[str, Any]:
    """Return how far latents are from those ``wanted``, or why there are none: a failure."""
    try:
        pipe = made(name, "cpu", getattr(torch, precision), small=True)
        safe = guard(_in_way(pipe, device, way), "max", plan=WAYS[way])
        off = distance(_latents(safe, PARITY_STEPS, PARITY_SIDE), wanted)
    except (RuntimeError, ValueError, ImportError, SafelatentError) as error:
        return {"left out": f"failed: {squeezed(error)}", "passed": False}
    return {"distance": off, "passed": off <= TOLERANCES[precision]}


def _in_way(pipe: Any, device: str, way: str) -> Any:
    if way == "CPU offload":
        pipe.enable_model_cpu_offload(device=device)
        return pipe
    pipe.to(device)
    if way == COMPILED:
        torch.compiler.reset()  # what is compiled for one model and precision serves no other
        part = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
        for block in part.modules():
            if type(block).__name__ in BLOCKS:
                block.compile()
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
            # torch also warns once that this way to count is a prototype
            counted[0] = sum("called a synchronizing" in str(one.message) for one in caught)


def timed(
    call: Any, device: str, steps: int, allotment: Allotment, **settings: Any
) -> dict[str, Any]:
    """Seconds for ``steps`` steps, taken from as many as the allotment suffices for, and peak GiB
    of device memory.

    A short call goes before, which allocates, chooses kernels and says how long a step takes. One
    image a call, its host synchronisations are counted too: they do not depend on the batch.
    """
    alone = len(settings["prompt"]) == 1
    first = min(steps, FIRST_STEPS if alone else FEW_STEPS)
    if not allotment.has(first * allotment.step):
        return {"left out": LATE}
    seconds = allotment.seconds
    with synchronisations(device) as counted:
        spent = _seconds(call, device, num_inference_steps=first, **settings)
    many = min(steps, max(FEWEST, int((seconds - spent) * first / spent)))
    if not allotment.has(many * spent / first):
        return {"left out": LATE}
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    seconds = _seconds(call, device, num_inference_steps=many, **settings) * steps / many
    peak = torch.cuda.max_memory_allocated() / 2**30 if device != "cpu" else 0.0
    found = {"seconds": seconds, "steps timed": many, "peak GiB": peak}
    return found | ({"waits a step": counted[0] / first} if alone else {})


def _seconds(call: Any, device: str, **settings: Any) -> float:
    """How long a call takes, what it has queued on the device included."""
    start = time.perf_counter()
    call(**settings)
    if device != "cpu":
        torch.cuda.synchronize()
    return max(time.perf_counter() - start, 1e-9)


def _free(device: str) -> None:
    """Give back what belongs to a model that is no longer named, so that the next one's peak is its
    own.
    """
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()


def speed(device: str, end: float, *, small: bool) -> Iterator[dict[str, Any]]:
    """Times by batch size, model and method, until ``end``; what is left out, with the reason."""
    cases = [(batch, name) for batch in BATCHES for name in MODELS]
    steps: dict[str, float] = {}  # seconds of a plain one per image, at the batch before
    for done, (batch, name) in enumerate(cases):
        pixels = 64 if small else MODELS[name][2]
        size: dict[str, Any] = {"height": pixels, "width": pixels, "output_type": "latent"}
        row = {"model": name, "pixels": pixels, "batch": batch}
        if time.monotonic() + batch * WARMING_STEPS * steps.get(name, 0.0) > end:
            yield row | {"method": "all", "left out": LATE}
            continue
        given, left = {"prompt": [PROMPT] * batch, **size}, (len(cases) - done) * len(TIMED)
        try:
            dtype = torch.float32 if small else torch.float16
            ways: Any = methods(made(name, device, dtype, small=small))
            warming = {"num_inference_steps": WARMING_STEPS, **given}
            step = _seconds(ways[PLAIN], device, **warming) / WARMING_STEPS
            steps[name] = step / batch
            for n, method in enumerate(TIMED):
                if isinstance(ways[method], str):  # a peer that knows other models
                    continue
                allotment = Allotment(end=end, rows=left - n, step=step)
                found = _figures(ways[method], device, allotment, given, small)
                yield row | {"method": method} | found
        except torch.OutOfMemoryError:
            yield row | {"method": "all", "left out": OUT_OF_MEMORY}
        ways = None
        _free(device)


def _figures(
    call: Any, device: str, allotment: Allotment, given: dict[str, Any], small: bool
) -> dict[str, Any]:
    """Return what was measured, or why nothing was."""
    try:
        return timed(call, device, FIRST_STEPS if small else STEPS, allotment, **given)
    except SafelatentError as error:
        return {"left out": f"refused: {error}"}
    except torch.OutOfMemoryError:
        return {"left out": OUT_OF_MEMORY}
