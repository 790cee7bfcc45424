"""The paper's baseline: the concept takes the place of the empty prompt, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from safelatent.errors import BadValueError
from safelatent.guidance.estimates import Correction, Estimates, classifier_free


@dataclass(frozen=True, kw_only=True)
class NegativePrompt:
    """``e_u := e_S`` at every step. It has no settings and no state, and costs what plain
    classifier-free guidance costs.
    """

    @property
    def needs_uncond(self) -> bool:
        return False

    @property
    def rows(self) -> int | None:
        return None

    def acts_from(self) -> int:
        return 0

    def row(self, b: int) -> NegativePrompt:
        return self

    def on(self, levels: Sequence[float]) -> NegativePrompt:
        return self

    def needs_concept(self, i: int) -> bool:
        return True

    def init(self, latents: Tensor) -> None:
        return None

    def correct(
        self, estimates: Estimates, state: None, i: int, unit: float = 1.0
    ) -> tuple[Correction, None]:
        if estimates.concept is None:
            raise BadValueError(
                f"step {i} needs the concept's estimate and got none; evaluate it wherever needs_concept(i) is True"
            )
        acts = torch.ones(len(estimates.prompt), dtype=torch.bool)
        return Correction(uncond=estimates.concept, prompt=estimates.prompt, acts=acts), None

    def step(
        self, estimates: Estimates, state: None, i: int, guidance_scale: float, unit: float = 1.0
    ) -> tuple[Tensor, None]:
        correction, _ = self.correct(estimates, state, i, unit)
        return classifier_free(correction.uncond, correction.prompt, guidance_scale), None
