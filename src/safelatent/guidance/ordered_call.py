"""A guided call whose evaluations follow a schedule, one after the other, and what each saw.

Knows estimates and steps; does not know texts, schedulers or models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from safelatent.errors import GuardError, NotGuardedError
from safelatent.guidance.estimates import Correction, Estimates, Guidance
from safelatent.guidance.evaluations import Look
from safelatent.guidance.guided_call import GuidedCall
from safelatent.guidance.plan import EXACT, Plan
from safelatent.guidance.receipt import Receipt


class CallSchedule(Protocol):
    """What a scheduler says of each evaluation of the guidance in one call; ``k`` counts from 0."""

    def timestep(self, k: int) -> float:
        """Return the scheduler's timestep."""
        ...

    def unit(self, k: int) -> float:
        """Return the unit of the model's predictions in noise (see ``noise``)."""
        ...

    def level(self, k: int) -> float:
        """Return the noise level (see ``NoiseLevel``)."""
        ...

    def mixture(self, k: int) -> tuple[float, float]:
        """Return ``alpha`` and ``sigma`` of ``x = alpha x_0 + sigma eps``."""
        ...


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What one evaluation of the guidance saw.

    Attributes:
        i: the step, from 0.
        timestep: the scheduler's.
        mixture: ``alpha`` and ``sigma`` of ``x = alpha x_0 + sigma eps``.
        latents: (B, C, H, W), as the denoiser got them for the prompt; packed where the family
            packs them.
        estimates: the model's own; where the plan reuses one, what it is taken to be.
        correction: what became of them, as a copy.
    """

    i: int
    timestep: float
    mixture: tuple[float, float]
    latents: Tensor
    estimates: Estimates
    correction: Correction


class OrderedCall(GuidedCall):
    """A call whose evaluations follow the schedule, one after the other.

    The momentum belongs to the step: a second-order solver's second look at a step uses the
    momentum of its start, and does not move it.

    Args:
        guidance: what to do with the estimates.
        schedule: of this call.
        rows: images of the call.
        evaluations: how often the call will evaluate the guidance.
        order: evaluations per step: a second-order solver makes two. PNDM's doubled step counts
            as two steps, as the paper's authors have it.
        plan: which estimates to evaluate.
        negative: whether the unconditional estimate is of a negative prompt.
        watch: called with every ``StepRecord``.

    Raises:
        NotGuardedError, BadValueError: see ``GuidedCall``.
    """

    def __init__(
        self,
        guidance: Guidance,
        schedule: CallSchedule,
        *,
        rows: int,
        evaluations: int,
        order: int = 1,
        plan: Plan = EXACT,
        negative: bool = False,
        watch: Callable[[StepRecord], None] | None = None,
    ) -> None:
        levels = [schedule.level(k) for k in range(0, evaluations, order)]
        super().__init__(
            guidance,
            levels,
            rows,
            plan=plan,
            order=order,
            evaluations=evaluations,
            negative=negative,
        )
        self.schedule, self.evaluations, self.order, self.watch = (
            schedule,
            evaluations,
            order,
            watch,
        )
        self._units = [schedule.unit(k) for k in range(evaluations)]
        self.evaluated = 0
        self._state: Any = None  # at the start of the step that is under way
        self._next_state: Any = None
        self._shape: torch.Size | None = None  # of the estimates, from the first on
        self._choice = next((look for look in self.plan.looks if look.choices), None)  # the first
        self._chooses_anew = False

    @property
    def step(self) -> int:
        """The step that is under way, from 0."""
        return self.evaluated // self.order

    @property
    def look(self) -> Look:
        """Which estimates the evaluation that is under way needs.

        Raises:
            GuardError: the call has no more evaluations.
        """
        if self.evaluated >= self.evaluations:
            raise GuardError(
                f"evaluation {self.evaluated + 1} of a call that has {self.evaluations}: another "
                "call of this pipeline began in the middle of this one; give each its own pipeline"
            )
        look = self.plan.looks[self.evaluated]
        anew = self._chooses_anew and look.concept != "unused"
        return self._choice or look if anew else look

    def choose_anew(self) -> None:
        """Among several concepts, choose at the evaluation that is under way as at the first one:
        its texts are others than those of the one before.
        """
        self._chooses_anew = self.evaluated > 0 and self.choosing is not None

    @property
    def chosen(self) -> Tensor | None:
        """Which of several concepts the evaluation that is under way needs, for each image, (B,).

        None where there is one, or all are needed.
        """
        if self.choosing is None or self.look.choices:
            return None
        return self.choosing.chosen(self._current())

    def correct(
        self,
        estimates: Estimates,
        *,
        guidance_scale: float,
        latents: Tensor | None = None,
    ) -> Correction:
        """Return what replaces the model's two estimates at the evaluation that is under way.

        Args:
            estimates: that were evaluated, those that ``look`` asks for among them.
            guidance_scale: see ``correct_at``.
            latents: as the denoiser got them, for ``watch``.

        Raises:
            GuardError: the call has no more evaluations.
            NotGuardedError: the latents are no longer of the size that they had at the first.
        """
        own_look, k, (i, look) = self.look, self.evaluated, divmod(self.evaluated, self.order)
        timestep = self.schedule.timestep(k)  # raises, if the scheduler was set anew
        self._check_shape(estimates.prompt.shape)
        if k == 0:
            self._next_state = self.guidance.init(estimates.prompt)
        begun = self._current()
        if look == 0:
            self._state = begun
        estimates, correction, state = self.correct_at(
            i,
            estimates,
            begun,
            self._units[k],
            look=own_look,
            guidance_scale=guidance_scale,
        )
        if look == 0:
            self._next_state, self._chooses_anew = state, False
        if self.watch is not None and latents is not None:
            self.watch(
                StepRecord(
                    i=i,
                    timestep=timestep,
                    mixture=self.schedule.mixture(k),
                    latents=latents,
                    estimates=estimates,
                    correction=_copied(correction),
                )
            )
        self.evaluated += 1
        return correction

    def _current(self) -> Any:
        """Return the state with which the evaluation that is under way begins."""
        state = self._next_state
        if self.evaluated % self.order:
            state = self._state
            if self.choosing is not None:
                state = self.choosing.again(self._state, self._next_state)
        if self._chooses_anew and self.choosing is not None:
            return self.choosing.anew(state)
        return state

    def _check_shape(self, shape: torch.Size) -> None:
        """Refuse another size: the momentum and reused estimates belong to the first one."""
        if self._shape is not None and self._shape != shape:
            before, now = (" x ".join(map(str, one)) for one in (self._shape, shape))
            raise NotGuardedError(
                f"the latents changed from {before} to {now} in the middle of the call, and the "
                "guard could not act; leave their size as it is to the end, or make two calls"
            )
        self._shape = shape

    def finish(self, concept: str) -> list[Receipt]:
        """Return one receipt per image; see ``GuidedCall``.

        Raises:
            NotGuardedError: also if the call ended early.
        """
        self.deferred.settle()
        if self.evaluated < self.evaluations:
            raise ended_early(self.evaluated, self.evaluations)
        return super().finish(concept)


def _copied(correction: Correction) -> Correction:
    """Return a correction whose estimates can be written to without changing the image."""
    own = {name: getattr(correction, name).clone() for name in ("uncond", "prompt")}
    return replace(correction, **own)


def ended_early(evaluated: int = 0, evaluations: int | None = None) -> NotGuardedError:
    """Return the error for a call of which the guard did not see the last evaluation."""
    whole = "" if evaluations is None else f" of {evaluations}"
    return NotGuardedError(
        f"the guard saw {evaluated}{whole} evaluations: the call ended early, or its denoiser was "
        "replaced in the middle; no half-guided image is returned, so let the call run to its end"
    )


def no_step() -> NotGuardedError:
    """Return the error for a call that evaluated its denoiser at no step."""
    return NotGuardedError(
        "the call took no denoising step, so the guard could not act; take more steps or, from "
        "image to image, a larger strength"
    )
