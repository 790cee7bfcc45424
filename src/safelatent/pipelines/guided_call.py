"""One guided call under way, whoever carries it: the momentum, the steps counted, what is refused
before and after them.

Knows estimates, steps and schedules; does not know batches, texts or models.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safelatent.errors import BadValueError, GuardError, NotGuardedError
from safelatent.guidance import Correction, Estimates, Guidance
from safelatent.guidance.receipt import Tally
from safelatent.pipelines.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What one evaluation of the guidance saw, for who wants to look.

    Attributes:
        i: the step, from 0.
        timestep: the scheduler's.
        mixture: ``alpha`` and ``sigma`` of ``x = alpha x_0 + sigma eps``.
        latents: (B, C, H, W), as the denoiser got them for the prompt; packed where the family
            packs them.
        estimates: the model's own.
        correction: what became of them.
    """

    i: int
    timestep: float
    mixture: tuple[float, float]
    latents: Tensor
    estimates: Estimates
    correction: Correction


class Run:
    """The guidance of one call of one pipeline; a new one for every call, so nothing survives it.

    Args:
        guidance: what to do with the estimates; its warm-up is one in steps once the call has
            begun.
        scheduler: the call's own.
        watch: called with every ``StepRecord``.
    """

    counted = "evaluations"  # what messages count

    def __init__(
        self, guidance: Guidance, scheduler: Any, watch: Callable[[StepRecord], None] | None = None
    ) -> None:
        self.guidance, self.scheduler, self.watch = guidance, scheduler, watch
        self.evaluated = (
            0  # times that the guidance was evaluated; a second-order solver does so twice a step
        )
        self._tally: Tally | None = None
        self._state: Any = None  # at the start of the step that is under way
        self._next_state: Any = None

    @property
    def begun(self) -> bool:
        return self._tally is not None

    @property
    def step(self) -> int:
        """That is under way, from 0."""
        return self.evaluated // self.order

    @property
    def steps(self) -> int:
        return math.ceil(self.evaluations / self.order)

    @property
    def needs_concept(self) -> bool:
        """Whether the step that is under way uses the concept's estimate."""
        return self.guidance.needs_concept(self.step)

    def begin(self, first: float, rows: int, evaluations: int, order: int = 1) -> None:
        """Refuse, before the first evaluation of all three, what would leave an image unguarded.

        Args:
            first: the timestep, as the denoiser got it.
            rows: images of the call.
            evaluations: how often the call will evaluate the guidance.
            order: evaluations a step: a second-order solver makes two. PNDM's doubled step counts
                as two steps, as the paper's authors have it.

        Raises:
            NotGuardedError: the warm-up is as long as the call.
            BadValueError: settings for another number of images.
        """
        self.schedule, self.rows, self.evaluations, self.order = (
            Schedule(self.scheduler, first, evaluations),
            rows,
            evaluations,
            order,
        )
        asked, self.guidance = (
            self.guidance,
            self.guidance.on(self.schedule.levels(evaluations, order)),
        )
        acts_from = self.guidance.acts_from()
        if acts_from >= self.steps:
            raise NotGuardedError(
                f"the warm-up is {acts_from} steps and the call has {self.steps}: no step would be guided; "
                "take more steps or a shorter warm-up"
            )
        if self.guidance.rows not in (None, rows):
            raise BadValueError(
                f"settings for {self.guidance.rows} images met a call that makes {rows}; give one an image"
            )
        self._tally = Tally(self.guidance, rows, asked)

    def correct(
        self, estimates: Estimates, evaluations: int, latents: Tensor | None = None
    ) -> Correction:
        """The two estimates that stand for the model's own.

        Args:
            evaluations: of the denoiser, that were made for each image.
            latents: as the denoiser got them; without them nobody can watch.

        Raises:
            GuardError: an estimate is not finite, or it is one more than the call has.
        """
        assert self._tally is not None  # made by begin
        if self.evaluated >= self.evaluations:
            raise GuardError(
                f"evaluation {self.evaluated + 1} of a call that has {self.evaluations}: another call of this pipeline began in the middle "
                "of this one; give each a pipeline of its own"
            )
        self._check_finite(estimates)
        i, look = divmod(self.evaluated, self.order)
        if self.evaluated == 0:
            self._next_state = self.guidance.init(estimates.prompt)
        if look == 0:
            self._state = self._next_state
        correction, state = self.guidance.correct(
            estimates, self._state, i, self.schedule.unit(self.evaluated)
        )
        if (
            look == 0
        ):  # the momentum belongs to the step: a solver's second look at it changes nothing
            self._next_state = state
        self._tally.evaluations += evaluations
        self._tally.observe(i, estimates, correction)
        if self.watch is not None and latents is not None:
            of_schedule = {
                "timestep": self.schedule.timestep(self.evaluated),
                "mixture": self.schedule.mixture(self.evaluated),
            }
            self.watch(
                StepRecord(
                    i=i, **of_schedule, latents=latents, estimates=estimates, correction=correction
                )
            )
        self.evaluated += 1
        return correction

    def finish(self) -> Tally:
        """What was counted.

        Raises:
            NotGuardedError: the call ended early, or an image was changed by no step.
        """
        if self._tally is None or self.evaluated < self.evaluations:
            raise NotGuardedError(
                f"the call ended after {self.evaluated} {self.counted}, before its last step; no image is given out half guided"
            )
        rows = self._tally.unguided_rows()
        if rows:
            raise NotGuardedError(
                f"no step changed image {', '.join(map(str, rows))}: the guard had nothing to act on; rephrase the prompt"
            )
        return self._tally

    def _check_finite(self, estimates: Estimates) -> None:
        for noise in (estimates.uncond, estimates.prompt, estimates.concept):
            if noise is not None and not torch.isfinite(noise).all():
                raise GuardError(
                    f"the model's estimate at evaluation {self.evaluated + 1} is not finite (NaN or infinite); there is no image to trust"
                )
