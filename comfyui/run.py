"""One sampling run: which step a noise level belongs to, and the momentum at each step's start.

Everything else of a guided call is ``safelatent``'s own. Knows tensors and sigmas; does not know
ComfyUI.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from torch import Tensor

from safelatent.errors import BadValueError, UnsupportedError
from safelatent.guidance import EXACT, SLD, Estimates, Plan
from safelatent.guidance.evaluations import OFF, Look
from safelatent.guidance.guided_call import GuidedCall

from .units import units

CLOSE = 1e-5  # two sigmas this near, relatively, are one: samplers compute some of theirs


class SamplingRun(GuidedCall):
    """The guidance of one call of ``sample``.

    Samplers may look at a step more than once, between two steps, or ahead and back again. Every
    look at a step uses the momentum of the step's start. What moves it is the last look at the
    step's own sigma (Heun looks there twice, first from where it guessed it would be), or, where a
    sampler has its own sigmas, the first look in the step.

    Args:
        guidance: the settings.
        sigmas: of the run, falling; the last is where it ends, and no step.
        model_sampling: ComfyUI's, of the model.
        rows: images of the run.
        cfg: the guidance scale.
        plan: which predictions to evaluate.

    Raises:
        NotGuardedError: the warm-up, or the plan, leaves too little of the run.
        BadValueError: the sigmas rise.
        UnsupportedError: the model's predictions have no known units, or the plan decides for each
            image.
    """

    def __init__(
        self,
        guidance: SLD,
        sigmas: Sequence[float],
        model_sampling: Any,
        rows: int,
        cfg: float,
        plan: Plan = EXACT,
    ) -> None:
        if not all(later <= sigma for sigma, later in pairwise(sigmas)):
            raise BadValueError(
                "the sigmas rise somewhere; "
                "the guard supports runs that remove noise, not those that add it"
            )
        if plan.either is not None:
            raise UnsupportedError(
                f"the plan is '{plan}', and ComfyUI evaluates a condition for all images of a "
                "batch; take 'concept' and 'uncond' in the plan instead of 'either'"
            )
        self.sigmas, self.model_sampling, self.cfg = list(sigmas[:-1]), model_sampling, cfg
        levels = [units(model_sampling, sigma).level for sigma in self.sigmas]
        super().__init__(guidance, levels, rows, plan=plan)
        self._momenta: dict[int, Tensor] = {}  # by step, at its start

    def step(self, sigma: float) -> int:
        """Return the step, from 0, in which ``sigma`` lies.

        A step reaches from its own sigma down to the next step's.
        """
        return max(sum(own >= sigma * (1 - CLOSE) for own in self.sigmas) - 1, 0)

    def look(self, sigma: float) -> Look:
        """Return which predictions a look at ``sigma`` needs; what is to be reused and was never
        evaluated is evaluated.
        """
        look = self.plan.looks[self.step(sigma)] if self.plan.looks else OFF
        if look.concept == "reused" and self.held.concept is None:
            return Look(uncond="evaluated", concept="evaluated")
        if look.uncond == "reused" and self.held.prompt is None:
            return replace(look, uncond="evaluated")
        return look

    def guided(
        self, sigma: float, prompt: Tensor, uncond: Tensor | None, concept: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the prompt's denoised latents, less what leads to the concept, and the
        unconditional ones.

        That a value is not finite is an error when the run ends.

        Args:
            sigma: of the look.
            prompt, uncond, concept: the denoised latents of each condition, (B, C, H, W); None
                where ``look`` does not evaluate it.
        """
        i, u = self.step(sigma), units(self.model_sampling, sigma)
        where = f"sigma {sigma:.4g}"
        x0 = Estimates(uncond=uncond, prompt=prompt, concept=concept)
        self.deferred.expect_finite(where, x0)
        estimates, correction, moved = self.correct_at(
            i,
            Estimates(
                uncond=None if uncond is None else uncond / -u.scale,
                prompt=prompt / -u.scale,
                concept=None if concept is None else concept / -u.scale,
            ),
            self._momentum(i, prompt),
            u.noise,
            look=self.look(sigma),
            guidance_scale=self.cfg,
        )
        assert correction.gamma is not None  # SLD's always is
        guided = prompt + u.scale * correction.gamma
        if uncond is None:
            uncond = prompt if estimates.uncond is None else estimates.uncond * -u.scale
        self.deferred.expect_finite(where, Estimates(uncond=uncond, prompt=guided))
        self._move(i, sigma, moved)
        return guided, uncond

    def _momentum(self, i: int, like: Tensor) -> Tensor:
        """Return it at the start of step ``i``: of the nearest step before whose it is known."""
        if not self._momenta:
            self._momenta[i] = self.guidance.init(like)
        return self._momenta[max((k for k in self._momenta if k <= i), default=min(self._momenta))]

    def _move(self, i: int, sigma: float, momentum: Tensor) -> None:
        if i + 1 not in self._momenta or math.isclose(sigma, self.sigmas[i], rel_tol=CLOSE):
            self._momenta[i + 1] = momentum
        # a sampler goes back by a step at most
        self._momenta = {k: nu for k, nu in self._momenta.items() if abs(k - i) <= 1}
