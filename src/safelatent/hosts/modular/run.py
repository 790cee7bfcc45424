"""One guarded call under way: the momentum, the steps counted, what the concept is as text. Shared by a pipeline's guiders.

Knows estimates, steps and schedules; does not know batches, blocks or models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from safelatent.concepts import Concept
from safelatent.errors import BadValueError, GuardError, NotGuardedError
from safelatent.guidance import Correction, Estimates, Guidance
from safelatent.hosts.hook import Moment
from safelatent.hosts.receipt import Receipt, Tally
from safelatent.hosts.schedule import Schedule


class Run:
    """The guidance of one call of one pipeline; a new one for every call, so nothing survives it.

    Args:
        guidance: what to do with the estimates.
        concept: what must not appear.
        scheduler: the call's own.
        timesteps: gives, once sampling begins, the timesteps of the call's steps.
        watch: called with every ``Moment``.
    """

    def __init__(
        self,
        guidance: Guidance,
        concept: Concept,
        scheduler: Any,
        timesteps: Callable[[], Any],
        watch: Callable[[Moment], None] | None = None,
    ) -> None:
        self.guidance, self.concept, self.scheduler, self.watch = guidance, concept, scheduler, watch
        self.latents: Tensor | None = None  # as the denoiser got them, where the call is watched
        self.text: dict[str, Any] = {}  # the concept's, by the names of the text encoder's block
        self.step = 0  # that is under way; a step is one evaluation of the guidance
        self._timesteps = timesteps
        self._tally: Tally | None = None
        self._state: Any = None

    def see(self, latents: Tensor) -> None:
        """The latents of the step that is under way."""
        self.latents = latents

    @property
    def begun(self) -> bool:
        return self._tally is not None

    @property
    def needs_concept(self) -> bool:
        """Whether the step that is under way uses the concept's estimate."""
        return self.guidance.needs_concept(self.step)

    def begin(self, timestep: float, rows: int, told: int | None) -> None:
        """Refuse, before the first step, what would leave an image unguarded.

        Args:
            timestep: the first.
            rows: images of the call.
            told: how many steps the guiders were told of.

        Raises:
            NotGuardedError: the warm-up is as long as the call, or guiders would end before it.
            BadValueError: settings for another number of images.
        """
        self.schedule, self.steps = Schedule(self.scheduler, timestep), len(self._timesteps())
        if told is not None and self.steps > told:
            raise NotGuardedError(
                f"{type(self.scheduler).__name__} evaluates {self.steps} times in {told} steps, and the pipeline's guider would end "
                f"guidance after {told} evaluations; use a scheduler that evaluates once a step"
            )
        asked, self.guidance = self.guidance, self.guidance.on(self.schedule.levels(self.steps, 1))
        acts_from = self.guidance.acts_from()
        if acts_from >= self.steps:
            raise NotGuardedError(
                f"the warm-up is {acts_from} steps and the call has {self.steps}: no step would be guided; "
                "take more steps or a shorter warm-up"
            )
        if self.guidance.rows not in (None, rows):
            raise BadValueError(f"settings for {self.guidance.rows} images met a call that makes {rows}; give one an image")
        self._tally = Tally(self.guidance, rows, asked)

    def check_timestep(self, timestep: float) -> None:
        """Refuse a loop that does not go through the scheduler's timesteps one by one: steps could not be counted."""
        if self.step >= self.steps or timestep != self.schedule.timestep(self.step):
            raise GuardError(f"step {self.step} is at timestep {timestep:g}, out of the scheduler's order; it cannot be guarded")

    def correct(self, estimates: Estimates, evaluations: int) -> Correction:
        """The two estimates that stand for the model's own; ``evaluations`` of the denoiser were made for each image.

        Raises:
            GuardError: an estimate is not finite.
        """
        assert self._tally is not None  # made by begin
        self._check_finite(estimates)
        if self.step == 0:
            self._state = self.guidance.init(estimates.prompt)
        correction, self._state = self.guidance.correct(estimates, self._state, self.step, self.schedule.unit(self.step))
        self._tally.evaluations += evaluations
        self._tally.observe(self.step, estimates, correction)
        if self.watch is not None and self.latents is not None:
            of_schedule = {"timestep": self.schedule.timestep(self.step), "mixture": self.schedule.mixture(self.step)}
            self.watch(Moment(i=self.step, **of_schedule, latents=self.latents, estimates=estimates, correction=correction))
        self.step += 1
        return correction

    def finish(self) -> Sequence[Receipt]:
        """One receipt an image.

        Raises:
            NotGuardedError: the call ended early, or an image was changed by no step.
        """
        if self._tally is None or self.step < self.steps:
            raise NotGuardedError(f"the call ended after {self.step} steps, before its last one; no image is given out half guided")
        rows = self._tally.unguided_rows()
        if rows:
            raise NotGuardedError(
                f"no step changed image {', '.join(map(str, rows))}: the guard had nothing to act on; rephrase the prompt"
            )
        return self._tally.receipts(str(self.concept), self.steps)

    def _check_finite(self, estimates: Estimates) -> None:
        for noise in (estimates.uncond, estimates.prompt, estimates.concept):
            if noise is not None and not torch.isfinite(noise).all():
                raise GuardError(f"the model's estimate at step {self.step} is not finite (NaN or infinite); there is no image to trust")
