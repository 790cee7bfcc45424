"""How fast the embedded model is on this machine: images a second in batches, what a step's time
goes into, and what else was tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from safelatent import load
from training.drawing import Sampling, sampler
from training.latents import CHANNELS
from training.sketch import LATENTS
from training.tokenizer import POSITIONS
from training.tower import TEXT_WIDTH

METHODS = ("off", "weak", "medium", "max")
CALLS = 5  # of one picture: the fastest counts, since other work on a machine only slows
STEPS = 50
ROUNDS = 8  # evaluations of the UNet, alternating between the ways to make them
PARTS = {
    "conv": "convolutions",
    "mm": "matrix products",
    "norm": "normalisation",
    "attention": "attention",
}  # by their operator's name


def _seconds(call: Any, batch: int) -> float:
    generators = [torch.Generator().manual_seed(seed) for seed in range(batch)]
    start = time.perf_counter()
    call(["a penguin with a pistol"] * batch, generator=generators, num_inference_steps=STEPS)
    return time.perf_counter() - start


def _inputs(
    rows: int = 16, layout: torch.memory_format = torch.contiguous_format
) -> tuple[Tensor, int, Tensor]:
    """Latents, timestep and text states; 16 rows are a guided step of eight pictures."""
    return (
        torch.randn(rows, CHANNELS, LATENTS, LATENTS).to(memory_format=layout),
        500,
        torch.randn(rows, POSITIONS, TEXT_WIDTH),
    )


def _bfloat16(unet: Any) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        unet(*_inputs())


def _one_thread(unet: Any) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    unet(*_inputs())
    torch.set_num_threads(threads)


def _by_itself(unet: Any) -> None:
    unet(*_inputs())
    unet(*_inputs(8))


def _ways(unet: Any, other: Any) -> dict[str, Callable[[], None]]:
    """Ways to make one step's evaluation; ``other`` is ``unet`` with its channels last."""
    return {
        "as it is": lambda: unet(*_inputs()),
        "channels last": lambda: other(*_inputs(layout=torch.channels_last)),
        "bfloat16": lambda: _bfloat16(unet),
        "one thread": lambda: _one_thread(unet),
        "with the concept in the same call": lambda: unet(*_inputs(24)),
        "with the concept by itself": lambda: _by_itself(unet),
    }


@torch.no_grad()
def _compared(unet: Any, other: Any) -> dict[str, float]:
    """Time of each way as a multiple of the UNet's as it is, the fastest of each."""
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, evaluate in _ways(unet, other).items():
            start = time.perf_counter()
            evaluate()
            times.setdefault(name, []).append(time.perf_counter() - start)
    return {name: min(found) / min(times["as it is"]) for name, found in times.items()}


@torch.no_grad()
def _shares(unet: Any) -> dict[str, float]:
    """Shares of an evaluation's time by kind of operator."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        unet(*_inputs())
    shares = dict.fromkeys([*PARTS.values(), "other"], 0.0)
    for event in seen.key_averages():
        kind = next((part for key, part in PARTS.items() if key in event.key), "other")
        shares[kind] += event.self_cpu_time_total
    total = sum(shares.values())
    return {kind: value / total for kind, value in shares.items()}


def measure_speed(batches: Sequence[int]) -> dict[str, Any]:
    """With the threads that torch takes by itself; after one call to warm up. ``batches`` are
    pictures a call.
    """
    start = time.perf_counter()
    pipe = load("embedded")
    loading = time.perf_counter() - start
    pipe.set_progress_bar_config(disable=True)
    _seconds(pipe, 1)
    rates: dict[str, dict[str, float]] = {}
    for method in METHODS:
        call = sampler(pipe, Sampling(method=method))
        rates[method] = {
            str(n): n / min(_seconds(call, n) for _ in range(CALLS if n == 1 else 1))
            for n in batches
        }
    other = load("embedded").unet.to(memory_format=torch.channels_last)
    return {
        "threads": torch.get_num_threads(),
        "load, s": loading,
        "images a second": rates,
        "shares": _shares(pipe.unet),
        "ways": _compared(pipe.unet, other),
    }
