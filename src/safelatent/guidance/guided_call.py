"""One guided call under way: begin, count, refuse, finish.

One implementation for classic pipelines, modular ones and ComfyUI. It refuses before the first
guided evaluation what would leave an image unguarded, counts what is done while it is done, and
gives receipts only for images that were guided with effect.

Knows estimates and steps; does not know texts, schedulers or models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from safelatent.errors import BadValueError, GuardError, NotGuardedError
from safelatent.guidance.estimates import Correction, Estimates, Guidance, changed, classifier_free
from safelatent.guidance.receipt import Receipt, Tally
from safelatent.guidance.warmup import check_warmup


class Schedule(Protocol):
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
        estimates: the model's own.
        correction: what became of them.
    """

    i: int
    timestep: float
    mixture: tuple[float, float]
    latents: Tensor
    estimates: Estimates
    correction: Correction


class GuidedCall:
    """The guidance of one call; a new one for every call, so nothing survives it.

    Evaluations come in any order (``correct_at``): ComfyUI's samplers look ahead and back.
    ``OrderedCall`` is for those that come one after the other.

    Args:
        guidance: what to do with the estimates.
        levels: the noise level of every step of the call.
        rows: images of the call.

    Raises:
        NotGuardedError: the warm-up leaves too little of the call (see ``check_warmup``).
        BadValueError: settings for another number of images.
    """

    def __init__(self, guidance: Guidance, levels: Sequence[float], rows: int) -> None:
        if guidance.rows not in (None, rows):
            raise BadValueError(
                f"settings for {guidance.rows} images met a call that makes {rows}; "
                "give one per image"
            )
        self.rows, self.steps = rows, len(levels)
        self.guidance = guidance.on(levels)
        for b in range(guidance.rows or 1):
            check_warmup(guidance.row(b), levels)
        self.tally = Tally(self.guidance, rows, guidance)

    def correct_at(
        self,
        i: int,
        estimates: Estimates,
        state: Any,
        unit: float,
        *,
        evaluations: int,
        guidance_scale: float | None = None,
    ) -> tuple[Correction, Any]:
        """Return what replaces the model's two estimates at step ``i``, and the next state.

        Args:
            evaluations: of the denoiser, that were made for each image.
            guidance_scale: of the classifier-free guidance that follows, where it is known: a
                change that its rounding swallows is no change.

        Raises:
            GuardError: an estimate is not finite, or what becomes of it is not.
        """
        where = f"step {i}"
        check_finite(where, estimates)
        correction, state = self.guidance.correct(estimates, state, i, unit)
        acts = correction.acts
        if guidance_scale is not None:
            noise = classifier_free(correction, guidance_scale)
            check_finite(where, correction, noise)
            own = estimates.prompt
            if estimates.uncond is not None:
                own = classifier_free(estimates, guidance_scale)
            acts = acts & changed(noise, own)
        else:
            check_finite(where, correction)
        self.tally.observe(i, estimates, correction, acts, evaluations)
        return correction, state

    def finish(self, concept: str) -> list[Receipt]:
        """Return one receipt per image.

        Raises:
            NotGuardedError: an image was changed by no step, or by too little to matter.
        """
        unguided, idle = self.tally.unguided_rows(), self.tally.idle_rows()
        if unguided:
            raise NotGuardedError(
                f"no step changed image {', '.join(map(str, unguided))}: "
                "the guard had nothing to act on; rephrase the prompt or the concept"
            )
        if idle:
            raise NotGuardedError(
                f"the guard changed next to nothing of image {', '.join(map(str, idle))}: to the "
                "model, the prompt or the negative prompt is the concept itself, or the settings "
                "are too weak; rephrase the prompt, or give a larger scale"
            )
        return self.tally.receipts(concept, self.steps)


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
        watch: called with every ``StepRecord``.

    Raises:
        NotGuardedError, BadValueError: see ``GuidedCall``.
    """

    def __init__(
        self,
        guidance: Guidance,
        schedule: Schedule,
        *,
        rows: int,
        evaluations: int,
        order: int = 1,
        watch: Callable[[StepRecord], None] | None = None,
    ) -> None:
        levels = [schedule.level(k) for k in range(0, evaluations, order)]
        super().__init__(guidance, levels, rows)
        self.schedule, self.evaluations, self.order, self.watch = (
            schedule,
            evaluations,
            order,
            watch,
        )
        self.evaluated = 0
        self._state: Any = None  # at the start of the step that is under way
        self._next_state: Any = None

    @property
    def step(self) -> int:
        """The step that is under way, from 0."""
        return self.evaluated // self.order

    @property
    def needs_concept(self) -> bool:
        """Whether the step that is under way uses the concept's estimate."""
        return self.guidance.needs_concept(self.step)

    def correct(
        self,
        estimates: Estimates,
        *,
        evaluations: int,
        guidance_scale: float | None = None,
        latents: Tensor | None = None,
    ) -> Correction:
        """Return what replaces the model's two estimates at the evaluation that is under way.

        Args:
            evaluations, guidance_scale: see ``correct_at``.
            latents: as the denoiser got them, for ``watch``.

        Raises:
            GuardError: an estimate is not finite, or the call has no more evaluations.
        """
        k, (i, look) = self.evaluated, divmod(self.evaluated, self.order)
        if k >= self.evaluations:
            raise GuardError(
                f"evaluation {k + 1} of a call that has {self.evaluations}: another call of this "
                "pipeline began in the middle of this one; give each its own pipeline"
            )
        if k == 0:
            self._next_state = self.guidance.init(estimates.prompt)
        if look == 0:
            self._state = self._next_state
        correction, state = self.correct_at(
            i,
            estimates,
            self._state,
            self.schedule.unit(k),
            evaluations=evaluations,
            guidance_scale=guidance_scale,
        )
        if look == 0:
            self._next_state = state
        if self.watch is not None and latents is not None:
            self.watch(
                StepRecord(
                    i=i,
                    timestep=self.schedule.timestep(k),
                    mixture=self.schedule.mixture(k),
                    latents=latents,
                    estimates=estimates,
                    correction=correction,
                )
            )
        self.evaluated += 1
        return correction

    def finish(self, concept: str) -> list[Receipt]:
        """Return one receipt per image; see ``GuidedCall``.

        Raises:
            NotGuardedError: also if the call ended early.
        """
        if self.evaluated < self.evaluations:
            raise ended_early(self.evaluated)
        return super().finish(concept)


def check_finite(
    where: str, estimates: Estimates | Correction, noise: Tensor | None = None
) -> None:
    """Refuse numbers that are NaN or infinite.

    Raises:
        GuardError: naming which, and where.
    """
    corrected = "corrected " if isinstance(estimates, Correction) else ""
    named = {
        f"{corrected}unconditional estimate": estimates.uncond,
        f"{corrected}prompt's estimate": estimates.prompt,
        "guided estimate": noise,
    }
    if isinstance(estimates, Estimates):
        named["concept's estimate"] = estimates.concept
    for name, tensor in named.items():
        if tensor is not None and not torch.isfinite(tensor).all():
            raise GuardError(
                f"the {name} at {where} is not finite (NaN or infinite); no image is returned"
            )


def ended_early(evaluated: int) -> NotGuardedError:
    """Return the error for a call that ended before its last evaluation."""
    return NotGuardedError(
        f"the call ended after {evaluated} evaluations, before its last step; "
        "no half guided image is returned"
    )
