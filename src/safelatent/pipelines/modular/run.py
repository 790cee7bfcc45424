"""One guided call of a modular pipeline: what the concept is as text, and the loop's steps. Shared
by a pipeline's guiders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from safelatent.concepts import Concept
from safelatent.errors import GuardError, NotGuardedError
from safelatent.guidance import Correction, Estimates, Guidance
from safelatent.guidance.receipt import Receipt
from safelatent.pipelines.guided_call import Run, StepRecord


class ModularRun(Run):
    """A step is one evaluation of the guidance.

    Args:
        guidance, scheduler, watch: see ``Run``.
        concept: what must not appear.
        timesteps: gives, once sampling begins, the timesteps of the call's steps.
    """

    counted = "steps"

    def __init__(
        self,
        guidance: Guidance,
        concept: Concept,
        scheduler: Any,
        timesteps: Callable[[], Any],
        watch: Callable[[StepRecord], None] | None = None,
    ) -> None:
        super().__init__(guidance, scheduler, watch)
        self.concept = concept
        self.latents: Tensor | None = None  # as the denoiser got them, where the call is watched
        self.text: dict[str, Any] = {}  # the concept's, by the names of the text encoder's block
        self._timesteps = timesteps

    def see(self, latents: Tensor) -> None:
        """The latents of the step that is under way."""
        self.latents = latents

    def start(self, timestep: float, rows: int, told: int | None) -> None:
        """``begin``, at the first timestep; ``told`` is how many steps the guiders were told of.

        Raises:
            NotGuardedError: guiders would end before the call.
        """
        steps = len(self._timesteps())
        if told is not None and steps > told:
            raise NotGuardedError(
                f"{type(self.scheduler).__name__} evaluates {steps} times in {told} steps, and the pipeline's guider would end "
                f"guidance after {told} evaluations; use a scheduler that evaluates once a step"
            )
        self.begin(timestep, rows, steps)

    def check_timestep(self, timestep: float) -> None:
        """Refuse a loop that does not go through the scheduler's timesteps one by one: steps could
        not be counted.
        """
        if self.step >= self.steps or timestep != self.schedule.timestep(self.step):
            raise GuardError(
                f"step {self.step} is at timestep {timestep:g}, out of the scheduler's order; it cannot be guarded"
            )

    def guide(self, estimates: Estimates, evaluations: int) -> Correction:
        """``correct``, at the latents that were seen."""
        return self.correct(estimates, evaluations, self.latents)

    def receipts(self) -> Sequence[Receipt]:
        """One an image, when the call has ended; see ``finish``."""
        return self.finish().receipts(str(self.concept), self.steps)
