"""One guided call of a modular pipeline, shared by its guiders: the concept as text, and the steps.

The guiders get estimates alone; a watched call sees the latents through its denoiser.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from safelatent.concepts import Concept
from safelatent.errors import GuardError, NotGuardedError
from safelatent.guidance import Correction, Estimates, Guidance
from safelatent.guidance.concept_itself import TextCheck
from safelatent.guidance.ordered_call import OrderedCall, StepRecord, ended_early, no_step
from safelatent.guidance.plan import EXACT, Plan
from safelatent.guidance.receipt import Receipt
from safelatent.pipelines.denoiser import ConceptCaches, refused_plan
from safelatent.pipelines.foreign import check_attention, replaced_forward, wrappers
from safelatent.pipelines.schedule import Schedule
from safelatent.text import counted


class ModularCall:
    """The guidance of one call; a step is one evaluation of it.

    Args:
        guidance: what to do with the estimates.
        concept: what must not appear.
        scheduler: the call's own.
        denoisers: the pipeline's, by component name.
        timesteps: returns, once sampling begins, the timesteps of the call's steps.
        plan: which estimates to evaluate.
        watch: called with every ``StepRecord``.

    Raises:
        UnsupportedError: a denoiser remembers what cannot be kept apart, or what a plan that
            leaves out evaluations would mix up.
    """

    def __init__(
        self,
        guidance: Guidance,
        concept: Concept,
        scheduler: Any,
        denoisers: dict[str, Any],
        timesteps: Callable[[], Any],
        plan: Plan = EXACT,
        watch: Callable[[StepRecord], None] | None = None,
    ) -> None:
        self.guidance, self.concept, self.scheduler = guidance, concept, scheduler
        self.watch, self.timesteps, self.plan = watch, timesteps, plan
        self._caches: list[tuple[Any, ConceptCaches]] = []  # each with its denoiser
        for name, denoiser in denoisers.items():
            if wrappers(denoiser):
                raise replaced_forward(name)
            check_attention(denoiser, name)
            caches = ConceptCaches(denoiser)
            if caches.any and plan != EXACT:
                raise refused_plan(name, plan)
            self._caches.append((denoiser, caches))
        self._check_texts = TextCheck()
        self.call: OrderedCall | None = None  # from the first step on
        self.latents: Tensor | None = None  # as the denoiser got them, where the call is watched
        self.text: dict[str, Any] = {}  # the concept's, by the names of the text encoder's block

    @property
    def cached(self) -> bool:
        """Whether a denoiser has a cache: the concept is then evaluated at every step."""
        return any(caches.any for _, caches in self._caches)

    @property
    def serves_both(self) -> bool:
        """Whether one evaluation of this step is the unconditional one or the concept's."""
        return self.call is not None and self.call.look.uncond == "either"

    def see(self, latents: Tensor) -> None:
        """Keep the latents of the step that is under way."""
        self.latents = latents

    def under_way(
        self, timestep: float | Tensor, prompt: Any, negative: Any, steps: int | None
    ) -> OrderedCall:
        """Return the call, begun at the first step; refuse what is, or became, unguarded.

        Args:
            timestep: of the step; a tensor is compared with the scheduler's when the call ends.
            prompt, negative: text embeddings of the step, (B, tokens, ...) or a list of B.
            steps: for how many the guiders are prepared, where they know.

        Raises:
            NotGuardedError: the guiders would end before the call, the batch changed, or a text is
                the concept itself.
            GuardError: the loop is not in the order of the scheduler's timesteps, so that steps
                could not be counted.
        """
        if self.call is None:
            self.call = self._begun(float(timestep), len(prompt), steps)
        call = self.call
        if {len(prompt), len(negative)} != {call.rows}:
            raise NotGuardedError(
                f"step {call.step} has {len(prompt)} and {len(negative)} texts in a call of "
                f"{counted(call.rows, 'image')}: the batch changed in the middle; leave it as it "
                "is to the end"
            )
        _check_order(call, timestep)
        self._check_texts(
            prompt, negative if self.guidance.needs_uncond else None, self.text["prompt_embeds"]
        )
        return call

    def correct(self, estimates: Estimates, scale: float) -> tuple[Correction, bool]:
        """Return what replaces the model's estimates at the step that is under way, and whether
        there is any guidance.
        """
        assert self.call is not None  # a guider asks for inputs before it combines
        guided = self.call.look.guided
        correction = self.call.correct(estimates, guidance_scale=scale, latents=self.latents)
        return correction, guided

    def settle(self) -> None:
        """Raise, when the last step was made, what was found in the tensors of the call (see
        ``Deferred``), or that there was no step: the decoder could not say why it fails.
        """
        if self.call is None:
            raise self._unseen()
        self.call.deferred.settle()

    def receipts(self) -> list[Receipt]:
        """Return one receipt per image, when the call has ended; see ``OrderedCall``."""
        if self.call is None:
            raise self._unseen()
        return self.call.finish(str(self.concept))

    def enter_caches(self, denoiser: Any) -> None:
        """Exchange the caches of ``denoiser`` for the concept's."""
        own = denoiser.denoiser if isinstance(denoiser, WatchedDenoiser) else denoiser
        for known, caches in self._caches:
            if known is own:
                caches.enter()

    def leave_caches(self) -> None:
        """Put the denoisers' own caches back."""
        for _, caches in self._caches:
            caches.leave()

    def _unseen(self) -> GuardError:
        return ended_early() if len(self.timesteps()) else no_step()

    def _begun(self, timestep: float, rows: int, steps: int | None) -> OrderedCall:
        evaluations = len(self.timesteps())
        if steps is not None and evaluations > steps:
            raise NotGuardedError(
                f"{type(self.scheduler).__name__} evaluates {evaluations} times in {steps} steps, "
                f"and the pipeline's guider would end guidance after {steps} evaluations; "
                "use a scheduler that evaluates once per step"
            )
        return OrderedCall(
            self.guidance,
            Schedule(self.scheduler, timestep, evaluations),
            rows=rows,
            evaluations=evaluations,
            plan=self.plan,
            watch=self.watch,
        )


def _check_order(call: OrderedCall, timestep: float | Tensor) -> None:
    """Refuse a loop that is not in the order of the scheduler's timesteps."""
    expected = call.schedule.timestep(call.step) if call.step < call.steps else None
    where = "" if isinstance(timestep, Tensor) else f"at timestep {timestep:g}, "
    error = GuardError(
        f"step {call.step} is {where}out of the scheduler's order; it cannot be guarded"
    )
    if isinstance(timestep, Tensor) and expected is not None:
        call.deferred.expect(timestep == expected, error)
    elif timestep != expected:
        raise error


class WatchedDenoiser:
    """A denoiser that shows the latents it gets, (B, C, H, W) or packed, to ``seen``."""

    def __init__(self, denoiser: Any, seen: Callable[[Tensor], None]) -> None:
        self.denoiser, self._seen = denoiser, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self.denoiser, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        latents: Any = args[0] if args else kwargs.get("hidden_states", kwargs.get("x"))
        self._seen(torch.stack(latents) if isinstance(latents, list) else latents)
        return self.denoiser(*args, **kwargs)
