"""What is timed against what: methods of sampling on three models, and what a guarded step consists
of on one of them.

A case is some runs on one model, and the run that the others are ratios of. Its models are made
when it is measured, and freed after it. Models; no files, no time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.hook import hook
from benchmarks.peers import peers
from benchmarks.random_models import MODELS, made
from benchmarks.timing import Run, denoiser_rows
from safelatent import MAX, NegativePrompt, guard, load
from safelatent.errors import SafelatentError
from safelatent.guidance import Estimates, PresetName, preset

PROMPT = "a penguin with a pistol"
PLAIN = "plain guidance"
STRENGTHS: tuple[PresetName, ...] = ("weak", "medium", "max")
PLANNED: PresetName = "strong"  # whose guard is also timed with plans
PLANS = ("exact", "fast", "concept=5,until=0.6")
SIDE = 128  # pixels of the large models, which are made for 512 and 1024: to be timed on a CPU
SD3_LAYERS = 4  # of 24, for the same reason


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Runs by name.

    Attributes:
        evaluations: of the denoiser per image, by run; empty where they are not counted.
        left_out: why there is no run, by name.
    """

    runs: dict[str, Run]
    evaluations: dict[str, float]
    left_out: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Some runs to be compared.

    Attributes:
        base: the run that the others are ratios of.
        make: makes the model and the runs, and calls each of them once.
    """

    name: str
    base: str
    make: Callable[[], Sampled]


def cases(steps: int, few: int, batches: tuple[int, ...], *, small: bool) -> list[Case]:
    """Return all cases.

    Args:
        steps: of the embedded model.
        few: steps of the large models.
        batches: images in one call.
        small: large models have a handful of parameters, and draw 64 pixels.
    """
    return [
        case
        for batch in batches
        for case in (
            *_embedded(steps, batch),
            _random("SD 1.5", f"UNet of SD 1.5's size, batch {batch}", few, batch, small=small),
            _random(
                "SD3 medium",
                f"transformer like SD3's, batch {batch}",
                few,
                batch,
                small=small,
                layers=SD3_LAYERS,
            ),
        )
    ]


def methods(pipe: Any) -> dict[str, Callable[..., Any] | str]:
    """Return the ways to sample with ``pipe``, each called as it is, or why there is none."""
    found: dict[str, Callable[..., Any] | str] = {
        PLAIN: pipe,
        "negative prompt": guard(pipe, NegativePrompt()),
    }
    for name in STRENGTHS:
        # By noise level, so that fewer steps than the paper's work too; at 50 it is the same.
        found[f"guard, {name}"] = guard(pipe, preset(name).by_noise_level())
    for plan in PLANS:
        strength = preset(PLANNED).by_noise_level()
        found[f"guard, {PLANNED}, plan {plan}"] = guard(pipe, strength, plan=plan)
    return found | peers(pipe)


def sampled(pipe: Any, batch: int, steps: int, **size: int) -> Sampled:
    """Call every method once, count what it evaluates, and return those that draw."""
    runs: dict[str, Run] = {}
    evaluations: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for name, method in methods(pipe).items():
        if isinstance(method, str):
            left_out[name] = method
            continue
        run = partial(_call, method, prompt=[PROMPT] * batch, num_inference_steps=steps, **size)
        try:
            with denoiser_rows(pipe) as rows:
                run()
        except SafelatentError as error:
            left_out[name] = f"refused: {error}"
            continue
        runs[name], evaluations[name] = run, sum(rows) / batch
    return Sampled(runs=runs, evaluations=evaluations, left_out=left_out)


def _call(method: Callable[..., Any], **given: Any) -> Any:
    """Decoded too, since the peers always decode."""
    return method(generator=torch.Generator().manual_seed(0), output_type="np", **given)


def _embedded(steps: int, batch: int) -> list[Case]:
    def pipe() -> Any:
        loaded = load("embedded")
        loaded.set_progress_bar_config(disable=True)
        return loaded

    name = f"embedded model, {steps} steps, batch {batch}"
    return [
        Case(name=name, base=PLAIN, make=lambda: sampled(pipe(), batch, steps)),
        Case(
            name=f"one step of the embedded model, batch {batch}",
            base="two estimates in one call",
            make=lambda: _called(evaluations(pipe(), batch)),
        ),
        Case(
            name=f"the hook on the embedded model, {steps} steps, batch {batch}",
            base="three estimates, written out",
            make=lambda: _called(hook(pipe(), batch, steps)),
        ),
    ]


def _random(name: str, words: str, steps: int, batch: int, *, small: bool, **size: int) -> Case:
    side = 64 if small else SIDE

    def make() -> Sampled:
        pipe = made(name, "cpu", torch.float32, small=small, **size)
        return sampled(pipe, batch, steps, height=side, width=side)

    assert name in MODELS
    return Case(name=f"{words}, {side} pixels, {steps} steps", base=PLAIN, make=make)


def evaluations(pipe: Any, batch: int) -> dict[str, Run]:
    """Return what dominates: the denoiser on two, three, and two plus one estimates, and the
    guidance's own arithmetic.
    """
    config = pipe.unet.config
    latents = torch.randn(batch, config.in_channels, config.sample_size, config.sample_size)
    text = torch.randn(3 * batch, 77, config.cross_attention_dim)
    e = Estimates(uncond=latents, prompt=latents + 0.1, concept=latents - 0.1)
    state = MAX.init(latents)

    @torch.no_grad()
    def unet(count: int) -> None:
        pipe.unet(torch.cat([latents] * count), 500, text[: count * batch])

    return {
        "two estimates in one call": lambda: unet(2),
        "three in one call": lambda: unet(3),
        "two and one": lambda: (unet(2), unet(1)),
        "arithmetic of the guidance": lambda: MAX.correct(e, state, 3),
    }


def _called(runs: dict[str, Run]) -> Sampled:
    for run in runs.values():
        run()
    return Sampled(runs=runs, evaluations={}, left_out={})
