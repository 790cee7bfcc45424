"""Guidance on the denoiser of a classic pipeline: a diffusers ``ModelHook`` that is there for one
call and leaves no trace.

The pipeline asks its denoiser for ``[e_u, e_p]`` and combines them itself. The hook asks for
``e_S`` too and hands ``[e_u, e_p - gamma]`` back: the pipeline's combination is then the paper's
Eq. 3. For small latents the concept joins the pipeline's batch, which spares a call; for large ones
it is a call of its own, which costs the same and needs no more memory than the pipeline. A pipeline
that asks for ``e_p`` and ``e_u`` one after the other gets its correction with the second answer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from diffusers.hooks import ModelHook
from torch import Tensor, nn

from safelatent.errors import GuardError, NotGuardedError
from safelatent.guidance import Estimates, Guidance
from safelatent.pipelines.classic.batches import (
    each_batch,
    first_half,
    merged,
    second_half,
    with_second_half_again,
)
from safelatent.pipelines.classic.families import Family
from safelatent.pipelines.concept_itself import refuse_concept_itself
from safelatent.pipelines.guided_call import Run, StepRecord

# Positions of the latents up to which the concept joins the pipeline's batch: there a call costs
# more than its arithmetic.
JOINED_UP_TO = 32 * 32


class GuidanceHook(ModelHook):
    """The guidance of one call of one pipeline.

    Args:
        pipe: the pipeline, which knows how many steps it takes and what its scheduler is.
        family: how it calls its denoiser.
        guidance: what to do with the estimates.
        concept: the denoiser's text arguments for the concept, tensors of one row.
        scale: the call's guidance scale.
        watch: called with every ``StepRecord``.
    """

    def __init__(
        self,
        pipe: Any,
        family: Family,
        guidance: Guidance,
        concept: dict[str, Any],
        scale: float,
        watch: Callable[[StepRecord], None] | None = None,
    ) -> None:
        super().__init__()
        self.pipe, self.family, self.concept, self.scale = pipe, family, concept, scale
        self.run = Run(guidance, pipe.scheduler, watch)
        self._prompt: tuple[dict[str, Any], Tensor] | None = (
            None  # of a sequential family: the first of a step's two calls
        )

    def new_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """The denoiser's forward, guided."""
        arguments = self.family.named(args, kwargs)
        return_dict = arguments.pop("return_dict", True)
        noise = (
            self._second_or_first(arguments) if self.family.sequential else self._both(arguments)
        )
        return _output(module, noise) if return_dict else (noise,)

    def _both(self, arguments: dict[str, Any]) -> Tensor:
        """A call on ``[unconditional, prompt]``."""
        whole = len(self.family.latents(arguments))
        if not self.run.begun:
            if whole % 2 or whole != len(arguments["encoder_hidden_states"]):
                texts = len(arguments["encoder_hidden_states"])
                raise GuardError(
                    f"the {self.family.denoiser} got {whole} latents and {texts} texts, not two halves of one size"
                )
            prompt, negative = (
                each_batch(arguments, whole, half) for half in (second_half, first_half)
            )
            self._begin(prompt, negative)
        if whole != 2 * self.run.rows:
            raise NotGuardedError(
                f"the {self.family.denoiser} got {whole} latents, and {2 * self.run.rows} before: classifier-free guidance was switched "
                "off in the middle of the call, and the guard could not act; leave it on to the end"
            )
        estimates = self._batched(arguments, whole)
        correction = self.run.correct(
            estimates, _cost(estimates), second_half(self.family.latents(arguments))
        )
        return torch.cat([correction.uncond, correction.prompt])

    def _second_or_first(self, arguments: dict[str, Any]) -> Tensor:
        """A call on the prompt, then one on the negative prompt, whose answer carries the
        correction of both.

        The pipeline computes ``n + s_g (e_p - n)`` of the answer ``n``; with ``n = u' + s_g / (1 -
        s_g) (p' - e_p)`` that is ``u' + s_g (p' - u')``.
        """
        if self._prompt is None:
            prompt = self._evaluate(arguments)
            # A pipeline may change its dictionaries between the two calls.
            kept = {
                name: dict(value) if isinstance(value, dict) else value
                for name, value in arguments.items()
            }
            self._prompt = kept, prompt
            return prompt
        (of_prompt, prompt), self._prompt = self._prompt, None
        if not torch.equal(
            torch.as_tensor(of_prompt["timestep"]), torch.as_tensor(arguments["timestep"])
        ):
            raise NotGuardedError(
                "the negative prompt was not evaluated beside the prompt, so the guard could not act"
            )
        if not self.run.begun:
            self._begin(of_prompt, arguments)
        uncond = self._evaluate(arguments) if self.run.guidance.needs_uncond else None
        concept = self._of_concept(of_prompt, len(prompt)) if self.run.needs_concept else None
        estimates = Estimates(uncond=uncond, prompt=prompt, concept=concept)
        correction = self.run.correct(estimates, _cost(estimates), self.family.latents(arguments))
        return correction.uncond + self.scale / (1 - self.scale) * (correction.prompt - prompt)

    def _begin(self, prompt: dict[str, Any], negative: dict[str, Any]) -> None:
        """Refuse, before the first evaluation of all three, what would leave an image unguarded.
        Arguments are those of each half.
        """
        if not getattr(self.pipe, "do_classifier_free_guidance", True):
            raise NotGuardedError(
                "classifier-free guidance is off and the guard could not act; give a guidance_scale above 1"
            )
        evaluations = int(getattr(self.pipe, "num_timesteps", len(self.pipe.scheduler.timesteps)))
        first = float(torch.as_tensor(prompt["timestep"]).flatten()[0])
        self.run.begin(
            first, len(self.family.latents(prompt)), evaluations, int(self.pipe.scheduler.order)
        )
        if self.run.guidance.needs_uncond:
            refuse_concept_itself(
                *(one["encoder_hidden_states"] for one in (prompt, negative, self.concept))
            )

    def _batched(self, arguments: dict[str, Any], whole: int) -> Estimates:
        latents, needs_concept = self.family.latents(arguments), self.run.needs_concept
        if not self.run.guidance.needs_uncond:  # the concept takes the unconditional half's place
            halves = merged(
                arguments,
                self._rows(whole // 2),
                lambda old, new: torch.cat([new.to(old), second_half(old)]),
            )
            concept, prompt = self._evaluate(halves).chunk(2)
            return Estimates(uncond=None, prompt=prompt, concept=concept)
        if (
            needs_concept
            and latents[0, 0].numel() <= JOINED_UP_TO
            and self._has_shape_of(arguments)
        ):
            thirds = each_batch(arguments, whole, with_second_half_again)
            thirds = merged(
                thirds,
                self._rows(whole // 2),
                lambda old, new: torch.cat([old[:whole], new.to(old)]),
            )
            uncond, prompt, concept = self._evaluate(thirds).chunk(3)
            return Estimates(uncond=uncond, prompt=prompt, concept=concept)
        uncond, prompt = self._evaluate(arguments).chunk(2)
        if not needs_concept:
            return Estimates(uncond=uncond, prompt=prompt)
        of_prompt = each_batch(arguments, whole, second_half)
        return Estimates(
            uncond=uncond, prompt=prompt, concept=self._of_concept(of_prompt, whole // 2)
        )

    def _of_concept(self, of_prompt: dict[str, Any], rows: int) -> Tensor:
        """The estimate for the prompt's arguments with the concept's text; a denoiser with a cache
        keeps one for it alone.
        """
        cache = getattr(getattr(self.pipe, self.family.denoiser), "cache_context", None)
        with cache("concept") if cache else nullcontext():
            return self._evaluate(merged(of_prompt, self._rows(rows), lambda old, new: new.to(old)))

    def _rows(self, rows: int) -> dict[str, Any]:
        """The concept's text arguments for as many rows; position ids have no rows."""
        return each_batch(self.concept, 1, lambda one: one.expand(rows, *one.shape[1:]))

    def _has_shape_of(self, arguments: dict[str, Any]) -> bool:
        return (
            arguments["encoder_hidden_states"].shape[1:]
            == self.concept["encoder_hidden_states"].shape[1:]
        )

    def _evaluate(self, arguments: dict[str, Any]) -> Tensor:
        forward = self.fn_ref.original_forward
        assert forward is not None  # set when the hook was registered
        return forward(**arguments, return_dict=False)[0]


def _cost(estimates: Estimates) -> int:
    """Evaluations of the denoiser for an image."""
    return sum(one is not None for one in (estimates.uncond, estimates.prompt, estimates.concept))


def _output(module: nn.Module, noise: Tensor) -> Any:
    from diffusers.models.modeling_outputs import Transformer2DModelOutput
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel, UNet2DConditionOutput

    return (
        UNet2DConditionOutput(sample=noise)
        if isinstance(module, UNet2DConditionModel)
        else Transformer2DModelOutput(sample=noise)
    )
