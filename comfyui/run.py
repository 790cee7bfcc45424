"""One sampling run: which step a noise level belongs to, the momentum at each step's start, and
whether every image was guided.

Knows tensors and sigmas; does not know ComfyUI.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from safelatent.errors import BadValueError, GuardError, NotGuardedError
from safelatent.guidance import SLD, Estimates

from .units import units

CLOSE = 1e-5  # two sigmas this near, relatively, are one: samplers compute some of theirs


class Run:
    """The guidance of one call of ``sample``.

    Samplers may look at a step more than once, between two steps, or ahead and back again. Every
    look at a step uses the momentum of the step's start. What moves it on is the last look at the
    step's own sigma (Heun looks there twice, first from where it guessed it would be), or, where a
    sampler has sigmas of its own, the first look in the step.

    Args:
        guidance: the settings.
        sigmas: of the run, falling; the last is where it ends, and no step.
        model_sampling: ComfyUI's, of the model.

    Raises:
        NotGuardedError: the warm-up leaves no step.
        BadValueError: the sigmas rise.
        UnsupportedError: the model's predictions have no known units.
    """

    def __init__(self, guidance: SLD, sigmas: Sequence[float], model_sampling: Any) -> None:
        if not all(later <= sigma for sigma, later in pairwise(sigmas)):
            raise BadValueError(
                "the sigmas rise somewhere; the guard knows runs that take noise away, not those that put it in"
            )
        self.sigmas, self.model_sampling = list(sigmas[:-1]), model_sampling
        levels = [units(model_sampling, sigma).level for sigma in self.sigmas]
        self.guidance = guidance.on(levels)
        self.acted: Tensor | None = None
        self._momenta: dict[int, Tensor] = {}  # by step, at its start
        acts_from = self.guidance.acts_from()
        if acts_from >= len(self.sigmas):
            raise NotGuardedError(
                f"the warm-up is {acts_from} steps and the run has {len(self.sigmas)}: no step would be guided; "
                "take more steps, a shorter warm-up, or the preset max"
            )

    def step(self, sigma: float) -> int:
        """The step, from 0, in which ``sigma`` lies: from its own sigma down to the next step's."""
        return max(sum(own >= sigma * (1 - CLOSE) for own in self.sigmas) - 1, 0)

    def needs_concept(self, sigma: float) -> bool:
        """Whether a look at ``sigma`` uses the concept's prediction."""
        return self.guidance.needs_concept(self.step(sigma))

    def guided(
        self, sigma: float, prompt: Tensor, uncond: Tensor, concept: Tensor | None
    ) -> Tensor:
        """The prompt's denoised latents, less what leads to the concept, from the denoised latents
        of each condition, (B, C, H, W).

        Raises:
            GuardError: a value is not finite.
        """
        i, u = self.step(sigma), units(self.model_sampling, sigma)
        predicted = {"uncond": uncond, "prompt": prompt} | (
            {} if concept is None else {"concept": concept}
        )
        estimates = Estimates(**{name: x0 / -u.scale for name, x0 in predicted.items()})
        correction, moved = self.guidance.correct(
            estimates, self._momentum(i, estimates.prompt), i, u.noise
        )
        assert correction.gamma is not None  # SLD's always is
        guided = prompt + u.scale * correction.gamma
        for name, x0 in (predicted | {"guided": guided}).items():
            if not torch.isfinite(x0).all():
                raise GuardError(
                    f"the {name} prediction at sigma {sigma:.4g} is not finite (NaN or infinite); there is no image to trust"
                )
        self._move(i, sigma, moved)
        self.acted = correction.acts if self.acted is None else self.acted | correction.acts
        return guided

    def finish(self) -> None:
        """Raises: NotGuardedError: an image was changed by no step."""
        if self.acted is None or not self.acted.all():
            raise NotGuardedError(
                "no step changed one of the images: the guard had nothing to act on; rephrase the prompt or the concept"
            )

    def _momentum(self, i: int, like: Tensor) -> Tensor:
        """At the start of step ``i``: of the nearest step before it whose momentum is known."""
        if not self._momenta:
            self._momenta[i] = self.guidance.init(like)
        return self._momenta[max((k for k in self._momenta if k <= i), default=min(self._momenta))]

    def _move(self, i: int, sigma: float, momentum: Tensor) -> None:
        if i + 1 not in self._momenta or math.isclose(sigma, self.sigmas[i], rel_tol=CLOSE):
            self._momenta[i + 1] = momentum
        self._momenta = {
            k: nu for k, nu in self._momenta.items() if abs(k - i) <= 1
        }  # a sampler goes back by a step at most
