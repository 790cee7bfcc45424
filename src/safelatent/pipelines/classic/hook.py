"""Guidance on the denoiser of a classic pipeline: a hook for one call.

The pipeline asks its denoiser for ``[e_u, e_p]`` and combines them itself. The hook asks for
``e_S`` too (see ``evaluating``) and hands ``[e_u, e_p - gamma]`` back: the pipeline's combination
is then the paper's Eq. 3. A pipeline that asks for ``e_p`` and ``e_u`` one after the other gets its
correction with the second answer.

Which of them a step evaluates is the plan's. The denoiser's caches decide too: hooks of diffusers
that keep a state have one apart for the concept, in a separate call at every step; a ``forward``
that somebody replaced may remember anything, and sees the same batch, concept included, at every
step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from safelatent.errors import GuardError, NotGuardedError
from safelatent.guidance import Estimates, Guidance
from safelatent.guidance.concept_itself import TextCheck, refuse_replaced_negative
from safelatent.guidance.estimates import Choosing
from safelatent.guidance.ordered_call import OrderedCall, StepRecord, ended_early, no_step
from safelatent.guidance.plan import EXACT, Plan
from safelatent.guidance.receipt import Receipt
from safelatent.guidance.text_change import TextChange
from safelatent.pipelines.batches import each_batch, first_half, second_half
from safelatent.pipelines.classic.concept_texts import ConceptTexts
from safelatent.pipelines.classic.evaluating import Arguments, Evaluating
from safelatent.pipelines.classic.families import Family
from safelatent.pipelines.classic.text import check_width
from safelatent.pipelines.denoiser import CallHook, as_output, refused_plan
from safelatent.pipelines.schedule import Schedule
from safelatent.text import counted


class GuidanceHook(CallHook):
    """The guidance of one call of one pipeline.

    Args:
        pipe: the pipeline, which knows how many steps it takes and what its scheduler is.
        family: how it calls its denoiser.
        guidance: what to do with the estimates.
        concepts: the denoiser's text arguments for each concept, tensors of one row.
        arguments: the call's own, by name.
        plan: which estimates to evaluate.
        watch: called with every ``StepRecord``.
        empty: the text arguments for the empty prompt, where a negative one has its place and the
            guidance needs both.
        joined_up_to: see ``evaluating.JOINED_UP_TO``; None: by the device.

    Raises:
        NotGuardedError: the guidance would drop the caller's negative prompt.
        UnsupportedError: the denoiser remembers what cannot be kept apart, or what a plan that
            leaves out evaluations would mix up.
    """

    def __init__(
        self,
        pipe: Any,
        family: Family,
        guidance: Guidance,
        concepts: Sequence[Arguments],
        arguments: Mapping[str, Any],
        plan: Plan = EXACT,
        watch: Callable[[StepRecord], None] | None = None,
        empty: Arguments | None = None,
        joined_up_to: int | None = None,
    ) -> None:
        super().__init__()
        refuse_replaced_negative(guidance, arguments)
        self.pipe, self.family, self.guidance = pipe, family, guidance
        self.texts = ConceptTexts(concepts, empty)
        self.scale, self.plan, self.watch = float(arguments[family.scale]), plan, watch
        denoiser = getattr(pipe, family.denoiser)
        self.evaluating = Evaluating(denoiser, family, self.texts, self.unhooked, joined_up_to)
        adaptive = isinstance(guidance, Choosing)
        if self.evaluating.everything and (plan != EXACT or adaptive):
            replaced = self.evaluating.wrapped
            raise refused_plan(family.denoiser, plan, adaptive=adaptive, replaced=replaced)
        self._check_texts, self._texts_changed = TextCheck(), TextChange()
        self.call: OrderedCall | None = None  # from the first evaluation on
        self._scheduler: Any = None  # of the call
        # Of a sequential family: the first of a step's two calls.
        self._prompt: tuple[Arguments, Tensor] | None = None

    def answer(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """Answer as the denoiser would, guided."""
        if not getattr(self.pipe, "do_classifier_free_guidance", True):
            raise NotGuardedError(
                "classifier-free guidance is off and the guard could not act; "
                "give a guidance_scale above 1 and leave it on to the end"
            )
        arguments = self.family.named(args, kwargs)
        self.evaluating.by_position = len(args)
        return_dict = arguments.pop("return_dict", True)
        evaluate = self._second_or_first if self.family.sequential else self._both
        noise = evaluate(arguments)
        return as_output(module, noise) if return_dict else (noise,)

    def settle(self) -> None:
        """Raise what explains an error: another thread's call that set the scheduler anew, or what
        was found in the tensors of this call so far (see ``Deferred``).
        """
        if self.call is not None:
            self.call.schedule.timestep(0)  # raises, if the scheduler was set anew
            self.call.deferred.settle()

    def settle_all(self) -> None:
        """Raise, when the last step was made, also what ``settle`` cannot know before: that there
        was none. What no step made has no rows, and the decoder could not say why it fails.
        """
        self.settle()
        if self.call is None:
            raise self._unseen()

    def finish(self, concept: str) -> list[Receipt]:
        """Return one receipt per image; see ``OrderedCall``."""
        if self.call is None:
            raise self._unseen()
        return self.call.finish(concept)

    def _unseen(self) -> GuardError:
        steps = getattr(self.pipe, "num_timesteps", None)
        return no_step() if steps == 0 else ended_early()

    def _both(self, arguments: Arguments) -> Tensor:
        """Evaluate ``[unconditional, prompt]``."""
        whole, texts = len(self.family.latents(arguments)), len(arguments["encoder_hidden_states"])
        if whole % 2 or whole != texts:
            raise GuardError(
                f"the {self.family.denoiser} got {whole} latents and {texts} texts, "
                "not two halves of one size"
            )
        prompt, negative = (each_batch(arguments, whole, f) for f in (second_half, first_half))
        call = self._under_way(prompt, negative)
        correction = call.correct(
            self.evaluating.batched(call, arguments, whole),
            guidance_scale=self._scale(),
            latents=self.family.latents(prompt),
        )
        return torch.cat([correction.uncond, correction.prompt])

    def _second_or_first(self, arguments: Arguments) -> Tensor:
        """Evaluate the prompt, then the negative prompt, with the correction of both.

        The pipeline computes ``n + s_g (e_p - n)`` of the answer ``n``; with ``n = u' + s_g / (1 -
        s_g) (p' - e_p)`` that is ``u' + s_g (p' - u')``.
        """
        if self._prompt is None:
            prompt = self.evaluating.evaluate(arguments)
            # A pipeline may change its dictionaries between the two calls.
            kept = {
                name: dict(value) if isinstance(value, dict) else value
                for name, value in arguments.items()
            }
            self._prompt = kept, prompt
            return prompt
        (of_prompt, prompt), self._prompt = self._prompt, None
        call = self._under_way(of_prompt, arguments)
        times = [torch.as_tensor(given["timestep"]) for given in (of_prompt, arguments)]
        call.deferred.expect(
            (times[0] == times[1]).all(),
            NotGuardedError(
                "the negative prompt was not evaluated with the prompt, so the guard could not act"
            ),
        )
        correction = call.correct(
            self.evaluating.after_prompt(call, of_prompt, prompt, arguments),
            guidance_scale=self.scale,
            latents=self.family.latents(arguments),
        )
        change = correction.prompt - prompt
        answer = correction.uncond + self.scale / (1 - self.scale) * change
        call.deferred.expect_finite(f"step {call.step}", Estimates(uncond=answer, prompt=prompt))
        return answer

    def _under_way(self, prompt: Arguments, negative: Arguments) -> OrderedCall:
        """Return the call, begun at the first evaluation; refuse what is, or became, unguarded.

        Everything is checked at every evaluation: a callback may change texts, rows and scale in
        the middle of a call. Arguments are those of each half.
        """
        texts = [one["encoder_hidden_states"] for one in (prompt, negative, self.texts.first)]
        rows = len(self.family.latents(prompt))
        if self.call is None:
            self.call = self._begun(prompt, rows)
        if self.pipe.scheduler is not self._scheduler:
            raise NotGuardedError(
                "the scheduler was replaced in the middle of the call, and its noise is not known; "
                "replace it between calls"
            )
        of_negative = len(texts[1])
        if self.family.sequential and of_negative == 1:  # one negative prompt serves all rows
            of_negative = rows
        beside = [len(self.family.latents(negative)), len(texts[0]), of_negative]
        if {rows, *beside} != {self.call.rows}:
            raise NotGuardedError(
                f"the {self.family.denoiser} got {rows + beside[0]} latents and "
                f"{beside[1] + beside[2]} texts in a call of "
                f"{counted(self.call.rows, 'image')}: the batch changed in the middle, and the "
                "guard could not act; leave it as it is to the end"
            )
        if not self.call.guidance.needs_uncond or self.texts.empty is not None:
            texts[1] = None  # which cannot make the guidance vanish
        if self.call.choosing is None:
            self._check_texts(*texts)
        elif self._texts_changed(*self.texts.like(prompt), *self.texts.like(negative)):
            self.call.choose_anew()  # a prompt that is the concept is guarded, too
        return self.call

    def _begun(self, prompt: Arguments, rows: int) -> OrderedCall:
        check_width(prompt, self.texts.first)
        self._scheduler = scheduler = self.pipe.scheduler
        first = float(torch.as_tensor(prompt["timestep"]).flatten()[0])
        evaluations = int(getattr(self.pipe, "num_timesteps", len(scheduler.timesteps)))
        return OrderedCall(
            self.guidance,
            Schedule(scheduler, first, evaluations),
            rows=rows,
            evaluations=evaluations,
            order=int(scheduler.order),
            plan=self.plan,
            negative=self.texts.empty is not None,
            watch=self.watch,
        )

    def _scale(self) -> float:
        """Return the scale of this step, which a callback may have changed."""
        return float(getattr(self.pipe, "guidance_scale", self.scale))
