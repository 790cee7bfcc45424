"""One guided call under way: begin, count, refuse, finish.

One implementation for classic pipelines, modular ones and ComfyUI. It refuses before the first
guided evaluation what would leave an image unguarded, counts what is done while it is done, and
gives receipts only for images that were guided with effect. What it finds in tensors stays on
their device until the call ends: no step waits for the device.

Knows estimates and steps; does not know texts, schedulers or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from safelatent.errors import BadValueError, NotGuardedError
from safelatent.guidance.deferred import Deferred
from safelatent.guidance.estimates import (
    Choosing,
    Correction,
    Estimates,
    Guidance,
    classifier_free,
)
from safelatent.guidance.evaluations import CallPlan, Directions, Look
from safelatent.guidance.plan import EXACT, Plan
from safelatent.guidance.receipt import Receipt, Tally
from safelatent.guidance.rounding import following_levels, step_share, survives
from safelatent.guidance.warmup import check_warmup
from safelatent.text import counted


class GuidedCall:
    """The guidance of one call; a new one for every call, so nothing survives it.

    Evaluations come in any order (``correct_at``): ComfyUI's samplers look ahead and back.
    ``OrderedCall`` is for those that come one after the other.

    Args:
        guidance: what to do with the estimates.
        levels: the noise level of every step of the call.
        rows: images of the call.
        plan: which estimates to evaluate.
        order: looks at every step.
        evaluations: looks in all, where the last steps have fewer.
        negative: whether the unconditional estimate is of a negative prompt.

    Attributes:
        plan: for this call.
        deferred: what must hold of its tensors.
        held: the directions that are reused.
        choosing: the guidance, where it has several concepts, else None.

    Raises:
        NotGuardedError: the warm-up leaves too little of the call (see ``check_warmup``), or the
            plan ends guidance too early.
        BadValueError: settings for another number of images, or a plan that they cannot follow.
    """

    def __init__(
        self,
        guidance: Guidance,
        levels: Sequence[float],
        rows: int,
        *,
        plan: Plan = EXACT,
        order: int = 1,
        evaluations: int | None = None,
        negative: bool = False,
    ) -> None:
        if guidance.rows not in (None, rows):
            raise BadValueError(
                f"settings for {counted(guidance.rows or 0, 'image')} met a call that makes "
                f"{rows}; give one per image"
            )
        self.rows, self.steps = rows, len(levels)
        self.guidance = guidance.on(levels)
        self.choosing = self.guidance if isinstance(self.guidance, Choosing) else None
        for b in range(guidance.rows or 1):
            check_warmup(guidance.row(b), levels)
        self.plan: CallPlan = plan.on(
            self.guidance, levels, order=order, evaluations=evaluations, negative=negative
        )
        self._levels = list(zip(levels, following_levels(levels), strict=True))
        self._dtype: torch.dtype | None = None  # of the noise, from the first guided step on
        self.deferred = Deferred()
        self.tally = Tally(self.guidance, rows, guidance, plan)
        self.held = Directions(serves_both=plan.either is not None)

    def correct_at(
        self,
        i: int,
        estimates: Estimates,
        state: Any,
        unit: float,
        *,
        look: Look,
        guidance_scale: float,
    ) -> tuple[Estimates, Correction, Any]:
        """Return the estimates with those that are reused, what replaces the two of the model at
        step ``i``, and the next state.

        That an estimate is not finite, or what becomes of it, is an error when the call ends.

        Args:
            estimates: what was evaluated; the evaluations of the denoiser are counted here.
            look: where the estimates come from.
            guidance_scale: of the classifier-free guidance that follows: a change that its
                rounding, or that of the latents, swallows is no change.
        """
        where, evaluations = f"step {i}", len(estimates.named())
        self.deferred.expect_finite(where, estimates)
        estimates = self._completed(estimates, look)
        if not look.guided:
            correction = _of_prompt_alone(estimates.prompt)
            self.tally.observe(i, estimates, correction, evaluations=evaluations)
            return estimates, correction, state
        correction, state = self.guidance.correct(estimates, state, i, unit)
        noise, own = classifier_free(correction, guidance_scale), estimates.prompt
        if estimates.uncond is not None:
            own = classifier_free(estimates, guidance_scale)
        self.deferred.expect_finite(where, correction, noise)
        self._dtype = noise.dtype
        share = step_share(*self._levels[i], unit)
        acts = correction.acts & survives(noise, own, share)
        self.tally.observe(i, estimates, correction, acts, evaluations, moves=share > 0)
        return estimates, correction, state

    def _completed(self, evaluated: Estimates, look: Look) -> Estimates:
        """Return the estimates with those that are reused; keep what later looks reuse."""
        if not self.plan.reuses:
            return evaluated
        concept_next = self.concept_next(look)
        completed = self.held.complete(evaluated, look, concept_next)
        kept = completed
        if self.choosing is not None:  # which keeps its concepts' directions itself
            kept = replace(completed, concept=None)
        self.held = self.held.after(kept, look, concept_next)
        return completed

    def concept_next(self, look: Look) -> Tensor | None:
        """Return for which images the evaluation that serves both is the concept's, (B,) bool.

        None where the look has none. It stays on the device.
        """
        return self.held.concept_next() if look.uncond == "either" else None

    def finish(self, concept: str) -> list[Receipt]:
        """Return one receipt per image.

        Raises:
            GuardError: an estimate was not finite, or what became of it.
            NotGuardedError: an image was changed by no step, or by too little to matter.
        """
        self.deferred.settle()
        unguided, idle = self.tally.unguided_rows(), self.tally.idle_rows()
        if unguided:
            raise NotGuardedError(
                f"no step changed image {', '.join(map(str, unguided))}: the guard had nothing to "
                f"act on; rephrase the prompt or the concept{self._or_precisely()}"
            )
        if idle:
            raise NotGuardedError(
                f"the guard changed next to nothing of image {', '.join(map(str, idle))}: to the "
                "model, the prompt or the negative prompt is the concept itself, or the settings "
                f"are too weak; rephrase the prompt, or give a larger scale{self._or_precisely()}"
            )
        return self.tally.receipts(concept, self.steps)

    def _or_precisely(self) -> str:
        """Return the remedy where rounding may have swallowed the change."""
        if self._dtype in (None, torch.float32, torch.float64):
            return ""
        return (
            f", or use float32: what {str(self._dtype).removeprefix('torch.')} rounds away is lost"
        )


def _of_prompt_alone(e_p: Tensor) -> Correction:
    """Return what makes classifier-free guidance of any scale the prompt's own estimate."""
    none = torch.zeros_like(e_p)
    acts = torch.zeros(len(e_p), dtype=torch.bool, device=e_p.device)
    return Correction(uncond=e_p, prompt=e_p, acts=acts, gamma=none, gate=none)
