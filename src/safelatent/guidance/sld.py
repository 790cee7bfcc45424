"""Safe Latent Diffusion: Equations 3 to 8 of Schramowski et al., CVPR 2023 (arXiv 2211.05105).

Letters of the paper: ``e_u``, ``e_p``, ``e_S`` are the estimates for the empty prompt, the prompt
and the concept; ``s_g`` the guidance scale; ``s_S`` scale, ``lambda`` threshold, ``delta`` warmup,
``s_m`` momentum, ``beta_m`` decay. Step ``i`` counts from 0.

Knows tensors; does not know models, schedulers or text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import cast

import torch
from torch import Tensor

from safelatent.errors import BadValueError
from safelatent.guidance.estimates import Correction, Estimates
from safelatent.guidance.noise_level import NoiseLevel, paper_noise_level
from safelatent.guidance.per_image import PerImage

Setting = float | tuple[float, ...]

_RULES = {
    "warmup": "a whole number of steps, 0 or more, or a NoiseLevel",
    "scale": "a number of at least 1",
    "threshold": "a number in [0, 1]",
    "momentum": "a number in [0, 1]",
    "decay": "a number in [0, 1)",
}
_HOLDS: dict[str, Callable[[float], bool]] = {
    "warmup": lambda x: x >= 0 and x == int(x),
    "scale": lambda x: x >= 1,
    "threshold": lambda x: 0 <= x <= 1,
    "momentum": lambda x: 0 <= x <= 1,
    "decay": lambda x: 0 <= x < 1,
}


@dataclass(frozen=True, kw_only=True)
class SLD:
    """The settings of safety guidance, and its step. The defaults are the paper's *medium*.

    Attributes:
        warmup: ``delta``, the number of first steps that are left alone (recommended 5 to 20, at
            most half of the steps), or a ``NoiseLevel``: then ``on(levels)`` gives the settings for
            a run, in steps.
        scale: ``s_S``, how soon the gate is fully open (100 to 3000).
        threshold: ``lambda``, in units of the noise estimate: how near the prompt's estimate may
            come to the concept's (0 to 0.03).
        momentum: ``s_m``, how much of the momentum is added (0 to 0.5).
        decay: ``beta_m``, how slowly the momentum forgets (0.3 to 0.7).

    Each may also be a sequence or a 1-D tensor with one value a row of the batch; every row then
    gets what it would get alone.

    Raises:
        BadValueError: a value that is not a finite number in its range, or sequences of different
            lengths.
    """

    warmup: Setting | NoiseLevel = 10
    scale: Setting = 1000.0
    threshold: Setting = 0.01
    momentum: Setting = 0.3
    decay: Setting = 0.4

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _checked(field.name, getattr(self, field.name)))
        lengths = {len(value) for value in self._values().values() if isinstance(value, tuple)}
        if len(lengths) > 1:
            raise BadValueError(
                f"settings by row have the lengths {sorted(lengths)}; give each of them one value a row of the batch"
            )

    @property
    def needs_uncond(self) -> bool:
        return True

    @property
    def rows(self) -> int | None:
        return next(
            (len(value) for value in self._values().values() if isinstance(value, tuple)), None
        )

    def acts_from(self) -> int:
        if isinstance(self.warmup, NoiseLevel):
            raise BadValueError(
                f"the warm-up is {self.warmup!r}, which is no number of steps before a schedule is known; use on(levels)"
            )
        return int(max(self.warmup)) if isinstance(self.warmup, tuple) else int(self.warmup)

    def on(self, levels: Sequence[float]) -> SLD:
        """For a run whose steps have these noise levels: a warm-up that is a ``NoiseLevel`` becomes
        one in steps.
        """
        return (
            replace(self, warmup=self.warmup.steps(levels))
            if isinstance(self.warmup, NoiseLevel)
            else self
        )

    def by_noise_level(self) -> SLD:
        """These settings with the noise level at which the paper's runs (50 steps on Stable
        Diffusion's schedule) end the warm-up.
        """
        if isinstance(self.warmup, int | float):
            return replace(
                self, warmup=NoiseLevel(paper_noise_level(int(self.warmup)) if self.warmup else 1.0)
            )
        return self

    def row(self, b: int) -> SLD:
        """The settings of row ``b`` alone."""
        return replace(
            self,
            **{
                name: value[b] for name, value in self._values().items() if isinstance(value, tuple)
            },
        )

    def needs_concept(self, i: int) -> bool:
        """Without momentum nothing of the warm-up is remembered, so the concept need not be
        evaluated there.
        """
        if self.rows is not None:
            return self._by_row().needs_concept(i)
        return i >= self.acts_from() or self.momentum != 0

    def init(self, latents: Tensor) -> Tensor:
        """The momentum ``nu`` before the first step: zeros like ``latents``, (B, C, H, W)."""
        return torch.zeros_like(latents)

    def correct(
        self, estimates: Estimates, state: Tensor, i: int, unit: float = 1.0
    ) -> tuple[Correction, Tensor]:
        """``e_p`` becomes ``e_p - gamma`` from step ``warmup`` on; then any classifier-free
        guidance computes Eq. 3.

        Args:
            estimates: of this step; ``concept`` may be None where ``needs_concept(i)`` is False.
            state: the momentum ``nu``, (B, C, H, W).
            i: the step, from 0.
            unit: what a difference of predictions is multiplied with to be one of noise estimates
                (see ``noise_unit``). Only the gate is in these units; ``gamma`` and the momentum
                stay in the model's own.
        """
        if self.rows is not None:
            return self._by_row().correct(estimates, state, i, unit)
        e_u, e_p = _uncond(estimates), estimates.prompt
        gamma, gate, state = self._gamma(estimates, state, i, unit)
        if i < self.acts_from():
            gamma, gate = torch.zeros_like(gamma), torch.zeros_like(gate)
        return Correction(
            uncond=e_u, prompt=e_p - gamma, acts=gamma.flatten(1).any(dim=1), gamma=gamma, gate=gate
        ), state

    def step(
        self, estimates: Estimates, state: Tensor, i: int, guidance_scale: float, unit: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """The guided noise estimate (B, C, H, W) of step ``i`` and the next momentum; bit for bit
        the published step.
        """
        if self.rows is not None:
            return self._by_row().step(estimates, state, i, guidance_scale, unit)
        e_u, e_p = _uncond(estimates), estimates.prompt
        gamma, _, state = self._gamma(estimates, state, i, unit)
        guidance = e_p - e_u if i < self.acts_from() else (e_p - e_u) - gamma
        return e_u + guidance_scale * guidance, state  # Eq. 3

    def _gamma(
        self, estimates: Estimates, nu: Tensor, i: int, unit: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``gamma``, ``mu`` and the next ``nu``; all zero where the concept is not needed."""
        e_u, e_p, e_S = _uncond(estimates), estimates.prompt, estimates.concept
        if not self.needs_concept(i):
            return torch.zeros_like(e_p), torch.zeros_like(e_p), nu
        if e_S is None:
            raise BadValueError(
                f"step {i} needs the concept's estimate and got none; evaluate it wherever needs_concept(i) is True"
            )
        s_S, lambda_, s_m, beta_m = self._numbers()
        d = (e_p - e_S) * unit
        phi = s_S * d  # Eq. 6
        mu = torch.where(
            d >= lambda_, 0.0, phi.abs().clamp(max=1.0)
        )  # Eq. 5, with min where it prints max
        gamma = mu * (e_S - e_u) + s_m * nu  # Eq. 4, 7
        nu = beta_m * nu + (1 - beta_m) * gamma  # Eq. 8
        return gamma, mu, nu

    def _by_row(self) -> PerImage:
        return PerImage([self.row(b) for b in range(self.rows or 1)])

    def _numbers(self) -> tuple[float, float, float, float]:
        """``s_S``, ``lambda``, ``s_m`` and ``beta_m`` of settings for one row."""
        numbers = [self.scale, self.threshold, self.momentum, self.decay]
        s_S, lambda_, s_m, beta_m = (number for number in numbers if not isinstance(number, tuple))
        return s_S, lambda_, s_m, beta_m

    def _values(self) -> dict[str, Setting | NoiseLevel]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _uncond(estimates: Estimates) -> Tensor:
    if estimates.uncond is None:
        raise BadValueError(
            "safety guidance needs the unconditional estimate; evaluate the model on the empty prompt too"
        )
    return estimates.uncond


def _checked(name: str, value: object) -> Setting | NoiseLevel:
    """``value`` as a number, or as one a row."""
    if name == "warmup" and isinstance(value, NoiseLevel):
        return value
    if isinstance(value, Tensor):
        value = cast("object", value.tolist())  # pyright: ignore[reportUnknownMemberType]
    if isinstance(value, Sequence) and not isinstance(value, str):
        items = cast("Sequence[object]", value)
        if not items:
            raise BadValueError(f"{name} is an empty sequence; give one value a row of the batch")
        return tuple(_number(name, item) for item in items)
    return _number(name, value)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise BadValueError(f"{name} is {value!r}; it must be {_RULES[name]}")
    number = float(value)
    if not (math.isfinite(number) and _HOLDS[name](number)):
        raise BadValueError(f"{name} is {value!r}; it must be {_RULES[name]}")
    return int(number) if name == "warmup" else number
