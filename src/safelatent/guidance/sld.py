"""Safe Latent Diffusion: Equations 3 to 8 of Schramowski et al., CVPR 2023 (arXiv 2211.05105).

Letters of the paper: ``e_u``, ``e_p``, ``e_S`` are the noise predictions for the empty prompt, the
prompt and the concept; ``s_g`` the guidance scale; ``s_S`` scale, ``lambda`` threshold, ``delta``
warmup, ``s_m`` momentum, ``beta_m`` decay. Step ``i`` counts from 0.

Knows tensors; does not know models, schedulers or text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor

from safelatent.errors import BadValueError, nearest
from safelatent.guidance.estimates import Correction, Estimates, changed, missing_concept
from safelatent.guidance.noise import NoiseLevel, paper_noise_level, paper_steps, real_number, shown

_RULES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "warmup": (
        "a whole number of steps, 0 or more, or a NoiseLevel",
        lambda x: x >= 0 and x == int(x),
    ),
    "scale": ("a number of at least 1", lambda x: x >= 1),
    "threshold": ("a number in [0, 1]", lambda x: 0 <= x <= 1),
    "momentum": ("a number in [0, 1]", lambda x: 0 <= x <= 1),
    "decay": ("a number in [0, 1)", lambda x: 0 <= x < 1),
}


@dataclass(frozen=True, kw_only=True)
class SLD:
    """The settings of safety guidance, and its step. The defaults are the paper's *medium*.

    Settings for each image of a batch are a ``PerImage``.

    Attributes:
        warmup: ``delta``, the number of first steps that are left alone (recommended 5 to 20, at
            most half of the steps), or a ``NoiseLevel``: then ``on(levels)`` gives the settings
            for a call, in steps.
        scale: ``s_S``, how soon the gate is fully open (100 to 3000).
        threshold: ``lambda``, in units of the noise prediction: how near the prompt's prediction
            may come to the concept's (0 to 0.03).
        momentum: ``s_m``, how much of the momentum is added (0 to 0.5).
        decay: ``beta_m``, how slowly the momentum forgets (0.3 to 0.7), in a step; where the
            warm-up is a ``NoiseLevel``, in a step of the paper's runs, whatever the call's are.

    Raises:
        BadValueError: a value that is not a finite number in its range.
    """

    warmup: int | NoiseLevel = 10
    scale: float = 1000.0
    threshold: float = 0.01
    momentum: float = 0.3
    decay: float = 0.4

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _checked(field.name, getattr(self, field.name)))

    @property
    def needs_uncond(self) -> bool:
        return True

    @property
    def rows(self) -> int | None:
        return None

    def acts_from(self) -> int:
        if isinstance(self.warmup, NoiseLevel):
            raise BadValueError(
                f"the warm-up is {self.warmup!r}, which is a number of steps only once a schedule "
                "is known; use on(levels)"
            )
        return self.warmup

    def on(self, levels: Sequence[float]) -> SLD:
        """Return the settings for a call whose steps have these noise levels.

        A warm-up that is a ``NoiseLevel`` becomes one in steps, and the momentum forgets as much
        over the same noise: fewer steps are longer ones.
        """
        if not isinstance(self.warmup, NoiseLevel):
            return self
        decay = self.decay ** paper_steps(levels)
        return replace(self, warmup=self.warmup.steps(levels), decay=decay)

    def by_noise_level(self) -> SLD:
        """Return these settings with a warm-up that is a noise level, and a momentum that forgets
        as much over the same noise, in any number of steps.

        It is the level at which the paper's runs (50 steps on Stable Diffusion's schedule) end it.

        Raises:
            BadValueError: the warm-up is longer than the paper's runs.
        """
        if isinstance(self.warmup, NoiseLevel):
            return self
        return replace(
            self, warmup=NoiseLevel(paper_noise_level(self.warmup) if self.warmup else 1.0)
        )

    def row(self, b: int) -> SLD:
        """Return the settings of row ``b``: these."""
        return self

    def needs_concept(self, i: int) -> bool:
        """Return whether step ``i`` uses the concept's prediction.

        Without momentum nothing of the warm-up is remembered, so it is not needed there.
        """
        return i >= self.acts_from() or self.momentum != 0

    def init(self, latents: Tensor) -> Tensor:
        """Return the momentum ``nu`` before the first step: zeros, (B, C, H, W)."""
        return torch.zeros_like(latents)

    def correct(
        self, estimates: Estimates, state: Tensor, i: int, unit: float = 1.0
    ) -> tuple[Correction, Tensor]:
        """Replace ``e_p`` by ``e_p - gamma`` from step ``warmup`` on, and return the next state.

        Then any classifier-free guidance computes Eq. 3:
        ``e_u + s_g ((e_p - gamma) - e_u)``.

        Args:
            estimates: of this step; ``concept`` may be None where ``needs_concept(i)`` is False.
                ``gamma`` is taken against ``uncond``, as published, or against ``empty``, where
                that was evaluated: a negative prompt then does not shift it.
            state: the momentum ``nu``, (B, C, H, W).
            i: the step, from 0.
            unit: factor that converts a difference of model predictions into one of noise
                predictions: 1 for noise, ``alpha_t`` for velocities (Salimans and Ho, 2022),
                ``1 - sigma`` for rectified flow. Only the gate is in these units; ``gamma`` and
                the momentum stay in the model's own.

        Raises:
            BadValueError: a prediction that is needed is None.
        """
        e_u, e_p = _uncond(estimates), estimates.prompt
        gamma, gate, state = self._gamma(estimates, state, i, unit)
        if i < self.acts_from():
            gamma, gate = torch.zeros_like(gamma), torch.zeros_like(gate)
        prompt = e_p - gamma  # Eq. 3, with any classifier-free guidance
        return Correction(
            uncond=e_u, prompt=prompt, acts=changed(prompt, e_p), gamma=gamma, gate=gate
        ), state

    def _gamma(
        self, estimates: Estimates, nu: Tensor, i: int, unit: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``gamma``, ``mu`` and the next ``nu``."""
        e_u, e_p, e_S = _uncond(estimates), estimates.prompt, estimates.concept
        if estimates.empty is not None:  # evaluated beside a negative prompt
            e_u = estimates.empty
        if not self.needs_concept(i):
            return torch.zeros_like(e_p), torch.zeros_like(e_p), nu
        if e_S is None:
            raise missing_concept(i)
        s_S, lambda_, s_m, beta_m = self.scale, self.threshold, self.momentum, self.decay
        d = (e_p - e_S) * unit
        phi = s_S * d  # Eq. 6
        # Eq. 5, with min where it prints max
        mu = torch.where(d >= lambda_, 0.0, phi.abs().clamp(max=1.0))
        gamma = mu * (e_S - e_u) + s_m * nu  # Eq. 4, 7
        nu = beta_m * nu + (1 - beta_m) * gamma  # Eq. 8
        return gamma, mu, nu


def _uncond(estimates: Estimates) -> Tensor:
    if estimates.uncond is None:
        raise BadValueError(
            "safety guidance needs the unconditional estimate; "
            "evaluate the model on the empty prompt too"
        )
    return estimates.uncond


def _checked(name: str, value: object) -> float | NoiseLevel:
    if name == "warmup" and isinstance(value, NoiseLevel):
        return value
    rule, holds = _RULES[name]
    number = real_number(value)
    if number is None or not math.isfinite(number) or not holds(number):
        more = "; PerImage has settings for each image" if _is_many(value) else ""
        raise BadValueError(f"{name} is {shown(value)}; it must be {rule}{more}")
    return int(number) if name == "warmup" else number


def _is_many(value: object) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str) and real_number(value) is None


# The paper's four presets (Table 4 and the model card; s_S of *weak* is 200).
WEAK = SLD(warmup=15, scale=200.0, threshold=0.0, momentum=0.0, decay=0.0)
MEDIUM = SLD(warmup=10, scale=1000.0, threshold=0.01, momentum=0.3, decay=0.4)
STRONG = SLD(warmup=7, scale=2000.0, threshold=0.025, momentum=0.5, decay=0.7)
MAX = SLD(warmup=0, scale=5000.0, threshold=1.0, momentum=0.5, decay=0.7)

PresetName = Literal["weak", "medium", "strong", "max"]
PRESETS: dict[PresetName, SLD] = {"weak": WEAK, "medium": MEDIUM, "strong": STRONG, "max": MAX}


def preset(name: PresetName) -> SLD:
    """Return the preset of that name.

    Raises:
        BadValueError: with a suggestion, if the name is unknown.
    """
    for known, sld in PRESETS.items():
        if name == known:
            return sld
    hint = nearest(name, PRESETS)
    raise BadValueError(
        f"unknown preset {shown(name)}{hint}; the presets are: {', '.join(PRESETS)}"
    )


def preset_name(sld: SLD) -> PresetName | None:
    """Return the name of the preset with exactly these settings, if there is one.

    Its warm-up may be in steps or the noise level.
    """
    for name, known in PRESETS.items():
        if sld in (known, known.by_noise_level()):
            return name
    return None
