"""The denoising loop of a modular pipeline written out: three separate evaluations, the equations,
the scheduler.

What the denoiser is given beside latents is taken from two runs of the plain pipeline: one on the
prompt, one on the concept as prompt.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import torch
from torch import Tensor

PROMPT = "a cat with a pistol"
CONCEPT = "violence, blood"
DENOISERS = ("unet", "transformer", "transformer_2")


@dataclass
class Recording:
    """What a run asked of its denoiser and of its scheduler."""

    calls: list[tuple[str, dict[str, Any]]] = field(
        default_factory=list
    )  # the denoiser, its arguments
    steps: list[tuple[Tensor, Tensor, Tensor]] = field(
        default_factory=list
    )  # noise, latents before, latents after
    timesteps: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
    state: Any = None


@contextmanager
def recorded(pipe: Any) -> Iterator[Recording]:
    seen, kind = Recording(), type(pipe.scheduler)
    step, set_timesteps = kind.step, kind.set_timesteps

    @wraps(step)
    def stepping(
        self: Any, noise: Tensor, t: Any, sample: Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        out = step(self, noise, t, sample, *args, **kwargs)
        seen.steps.append((noise, sample, out[0]))
        return out

    @wraps(set_timesteps)  # diffusers looks at its parameters
    def setting(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.timesteps = args, kwargs
        return set_timesteps(self, *args, **kwargs)

    handles = []
    for name in DENOISERS:
        if (module := getattr(pipe, name, None)) is not None:
            see = lambda _, args, kwargs, name=name: seen.calls.append(  # noqa: E731
                (name, _named(args) | kwargs)
            )
            handles.append(module.register_forward_pre_hook(see, with_kwargs=True))
    kind.step, kind.set_timesteps = stepping, setting
    try:
        yield seen
    finally:
        kind.step, kind.set_timesteps = step, set_timesteps
        for handle in handles:
            handle.remove()


def _named(args: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(("sample", "timestep"), args, strict=False))


def run(pipe: Any, arguments: dict[str, Any], **changes: Any) -> Recording:
    """A plain run, recorded."""
    with recorded(pipe) as seen, torch.no_grad():
        seen.state = call(pipe, arguments, **changes)
    return seen


def call(pipe: Any, arguments: dict[str, Any], **changes: Any) -> Any:
    """A call on fixed noise. Lists are copied: Z-Image writes into its prompts."""
    given = arguments | {"generator": torch.Generator().manual_seed(3)} | changes
    return pipe(
        **{name: list(value) if isinstance(value, list) else value for name, value in given.items()}
    )


@dataclass(frozen=True)
class Loop:
    """How a family calls its denoiser and combines the answers.

    Attributes:
        latents: the denoiser's argument.
        given: makes that argument of the latents and of what the plain run gave.
        answer: the prediction in what the denoiser returns.
        combine: of ``u``, ``c'``, ``c`` and the scale.
    """

    latents: str = "hidden_states"
    given: Callable[[Tensor, Any], Any] = lambda x, _: x
    answer: Callable[[Any, Tensor], Tensor] = lambda out, _: out
    combine: Callable[[Tensor, Tensor, Tensor, float], Tensor] = lambda u, shifted, _c, scale: (
        u + scale * (shifted - u)
    )


def _renormalised(u: Tensor, shifted: Tensor, c: Tensor, scale: float) -> Tensor:
    guided = u + scale * (shifted - u)
    return guided * (c.norm(dim=-1, keepdim=True) / guided.norm(dim=-1, keepdim=True))


LOOPS = {
    "sdxl": Loop(latents="sample"),
    "qwen": Loop(combine=_renormalised),
    "z-image": Loop(
        latents="x",
        given=lambda x, _: list(x.unsqueeze(2).unbind(0)),
        answer=lambda out, _: -torch.stack(out).squeeze(2),
    ),
    "klein": Loop(answer=lambda out, x: out[:, : x.shape[1]]),
    "krea2": Loop(combine=lambda u, shifted, _c, scale: shifted + scale * (shifted - u)),
    "hunyuan": Loop(given=lambda x, plain: torch.cat([x, plain[:, x.shape[1] :]], dim=1)),
}


@torch.no_grad()
def by_hand(
    family: str, pipe: Any, sld: Any, arguments: dict[str, Any], combine: Any = None
) -> list[tuple[Tensor, Tensor]]:
    """Noise and latents after every step."""
    loop, guider_scale = LOOPS.get(family, Loop()), {"transformer_2": "guider_2"}
    of_prompt = run(pipe, arguments)
    of_concept = run(pipe, arguments, prompt=_like(arguments["prompt"]))
    scheduler = copy.deepcopy(pipe.scheduler)
    args, kwargs = of_prompt.timesteps
    scheduler.set_timesteps(*args, **kwargs)
    x, state, result = of_prompt.steps[0][1], None, []
    for i, t in enumerate(scheduler.timesteps):
        denoiser, for_c = of_prompt.calls[2 * i]
        answers = []
        for given in (of_prompt.calls[2 * i + 1][1], for_c, of_concept.calls[2 * i][1]):
            own = given | {
                loop.latents: loop.given(x.to(of_prompt.steps[0][1]), given[loop.latents])
            }
            answers.append(
                loop.answer(getattr(pipe, denoiser)(**(own | {"return_dict": False}))[0], x)
            )
        u, c, s = answers
        unit = 1.0 if family == "sdxl" else 1.0 - float(scheduler.sigmas[i])
        gamma, state = gamma_of(sld, u, c, s, state, i, unit)
        scale = getattr(pipe, guider_scale.get(denoiser, "guider")).guidance_scale
        noise = (combine or loop.combine)(u, c - gamma, c, scale)
        x = scheduler.step(noise, t, x, return_dict=False)[0]
        result.append((noise, x))
    return result


def gamma_of(
    sld: Any, u: Tensor, c: Tensor, s: Tensor, nu: Tensor | None, i: int, unit: float
) -> tuple[Tensor, Tensor]:
    """The paper's equations 4 to 8, once more."""
    nu = torch.zeros_like(c) if nu is None else nu
    difference = (c - s) * unit
    mu = torch.where(difference < sld.threshold, (sld.scale * difference).abs().clamp(max=1.0), 0.0)
    gamma = mu * (s - u) + sld.momentum * nu
    nu = sld.decay * nu + (1 - sld.decay) * gamma
    return (gamma if i >= sld.warmup else torch.zeros_like(gamma)), nu  # pyright: ignore[reportReturnType]


def _like(prompt: Any) -> Any:
    return [CONCEPT] * len(prompt) if isinstance(prompt, list) else CONCEPT
