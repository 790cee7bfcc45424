"""Guidance on the denoiser of a classic pipeline: a diffusers ``ModelHook`` that is there for one call and leaves no trace.

The pipeline asks its denoiser for ``[e_u, e_p]`` and combines them itself. The hook asks for ``e_S`` too and hands
``[e_u, e_p - gamma]`` back: the pipeline's combination is then the paper's Eq. 3. For small latents the concept joins the pipeline's
batch, which spares a call; for large ones it is a call of its own, which costs the same and needs no more memory than the pipeline.
A pipeline that asks for ``e_p`` and ``e_u`` one after the other gets its correction with the second answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.hooks import ModelHook
from torch import Tensor, nn

from safelatent.errors import BadValueError, GuardError, NotGuardedError
from safelatent.guidance import Correction, Estimates, Guidance
from safelatent.hosts.batches import each_batch, first_half, merged, second_half, with_second_half_again
from safelatent.hosts.families import Family
from safelatent.hosts.receipt import Tally
from safelatent.hosts.schedule import Schedule

# Embeddings of the same tokens differ by rounding between batch sizes; those of other tokens by far more.
SAME_TEXT = 1e-3
# Positions of the latents up to which the concept joins the pipeline's batch: there a call costs more than its arithmetic.
JOINED_UP_TO = 32 * 32


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What one evaluation of the guidance saw, for who wants to look.

    Attributes:
        i: the step, from 0.
        timestep: the scheduler's.
        mixture: ``alpha`` and ``sigma`` of ``x = alpha x_0 + sigma eps``.
        latents: (B, C, H, W), as the denoiser got them for the prompt.
        estimates: the model's own.
        correction: what became of them.
    """

    i: int
    timestep: float
    mixture: tuple[float, float]
    latents: Tensor
    estimates: Estimates
    correction: Correction


class GuidanceHook(ModelHook):
    """The guidance of one call of one pipeline.

    Args:
        pipe: the pipeline, which knows how many steps it takes and what its scheduler is.
        family: how it calls its denoiser.
        guidance: what to do with the estimates.
        concept: the denoiser's text arguments for the concept, tensors of one row.
        scale: the call's guidance scale.
        watch: called with every ``Moment``.
    """

    def __init__(
        self,
        pipe: Any,
        family: Family,
        guidance: Guidance,
        concept: dict[str, Any],
        scale: float,
        watch: Callable[[Moment], None] | None = None,
    ) -> None:
        super().__init__()
        self.pipe, self.family, self.guidance = pipe, family, guidance
        self.concept, self.scale, self.watch = concept, scale, watch
        self.evaluated = 0  # times that the guidance was evaluated; a second-order solver does so twice a step
        self.tally: Tally | None = None
        self.state: Any = None  # at the start of the step that is under way
        self._next_state: Any = None
        self._prompt: tuple[dict[str, Any], Tensor] | None = None  # of a sequential family: the first of a step's two calls

    @property
    def order(self) -> int:
        """Evaluations a step: a second-order solver makes two. PNDM's doubled step counts as two steps, as the paper's authors have it."""
        return int(self.pipe.scheduler.order)

    @property
    def evaluations(self) -> int:
        """How often the call will evaluate the guidance."""
        return int(getattr(self.pipe, "num_timesteps", len(self.pipe.scheduler.timesteps)))

    @property
    def steps(self) -> int:
        """Steps of the call."""
        return math.ceil(self.evaluations / self.order)

    def new_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """The denoiser's forward, guided."""
        arguments = self.family.named(args, kwargs)
        return_dict = arguments.pop("return_dict", True)
        noise = self._second_or_first(arguments) if self.family.sequential else self._both(arguments)
        return _output(module, noise) if return_dict else (noise,)

    def finish(self) -> Tally:
        """What was counted.

        Raises:
            NotGuardedError: the call ended early, or an image was changed by no step.
        """
        if self.tally is None or self.evaluated < self.evaluations:
            raise NotGuardedError(
                f"the call ended after {self.evaluated} evaluations, before its last step; no image is given out half guided"
            )
        rows = self.tally.unguided_rows()
        if rows:
            raise NotGuardedError(
                f"no step changed image {', '.join(map(str, rows))}: the guard had nothing to act on; rephrase the prompt"
            )
        return self.tally

    def _both(self, arguments: dict[str, Any]) -> Tensor:
        """A call on ``[unconditional, prompt]``."""
        whole = len(self.family.latents(arguments))
        if self.tally is None:
            if whole % 2 or whole != len(arguments["encoder_hidden_states"]):
                texts = len(arguments["encoder_hidden_states"])
                raise GuardError(f"the {self.family.denoiser} got {whole} latents and {texts} texts, not two halves of one size")
            prompt, negative = (each_batch(arguments, whole, half) for half in (second_half, first_half))
            self._begin(prompt, negative)
        estimates = self._batched(arguments, whole)
        correction = self._correct(estimates, second_half(self.family.latents(arguments)))
        return torch.cat([correction.uncond, correction.prompt])

    def _second_or_first(self, arguments: dict[str, Any]) -> Tensor:
        """A call on the prompt, then one on the negative prompt, whose answer carries the correction of both.

        The pipeline computes ``n + s_g (e_p - n)`` of the answer ``n``; with ``n = u' + s_g / (1 - s_g) (p' - e_p)`` that is
        ``u' + s_g (p' - u')``.
        """
        if self._prompt is None:
            prompt = self._evaluate(arguments)
            # A pipeline may change its dictionaries between the two calls.
            kept = {name: dict(value) if isinstance(value, dict) else value for name, value in arguments.items()}
            self._prompt = kept, prompt
            return prompt
        (of_prompt, prompt), self._prompt = self._prompt, None
        if not torch.equal(torch.as_tensor(of_prompt["timestep"]), torch.as_tensor(arguments["timestep"])):
            raise NotGuardedError("the negative prompt was not evaluated beside the prompt, so the guard could not act")
        if self.tally is None:
            self._begin(of_prompt, arguments)
        needs_concept, i = self.guidance.needs_concept(self._step[0]), self._step[0]
        uncond = self._evaluate(arguments) if self.guidance.needs_uncond else None
        concept = self._evaluate(self._for_concept(of_prompt, len(prompt))) if needs_concept else None
        self._count(i)
        correction = self._correct(Estimates(uncond=uncond, prompt=prompt, concept=concept), self.family.latents(arguments))
        return correction.uncond + self.scale / (1 - self.scale) * (correction.prompt - prompt)

    @property
    def _step(self) -> tuple[int, int]:
        """The step that is under way, and which of its evaluations."""
        return divmod(self.evaluated, self.order)

    def _begin(self, prompt: dict[str, Any], negative: dict[str, Any]) -> None:
        """Refuse, before the first evaluation of all three, what would leave an image unguarded. Arguments are those of each half."""
        if not getattr(self.pipe, "do_classifier_free_guidance", True):
            raise NotGuardedError("classifier-free guidance is off and the guard could not act; give a guidance_scale above 1")
        self.schedule = Schedule(self.pipe.scheduler, float(torch.as_tensor(prompt["timestep"]).flatten()[0]))
        asked, self.guidance = self.guidance, self.guidance.on(self.schedule.levels(self.evaluations, self.order))
        acts_from, steps = self.guidance.acts_from(), self.steps
        if acts_from >= steps:
            raise NotGuardedError(
                f"the warm-up is {acts_from} steps and the call has {steps}: no step would be guided; take more steps or a shorter warm-up"
            )
        rows = len(self.family.latents(prompt))
        if self.guidance.rows not in (None, rows):
            raise BadValueError(f"settings for {self.guidance.rows} images met a call that makes {rows}; give one an image")
        self._refuse_concept_itself(prompt["encoder_hidden_states"], negative["encoder_hidden_states"])
        self.tally = Tally(self.guidance, rows, asked)

    def _refuse_concept_itself(self, prompt: Tensor, negative: Tensor) -> None:
        """A hole in the method: where prompt or negative prompt is the concept itself, ``e_p - e_S`` or ``e_S - e_u`` is zero."""
        if not self.guidance.needs_uncond:
            return
        concept = self.concept["encoder_hidden_states"]
        for name, text in (("negative prompt", negative), ("prompt", prompt)):
            if text.shape[1:] != concept.shape[1:]:
                continue
            distance = (text - concept.to(text)).abs().flatten(1).amax(dim=1)
            if (distance <= SAME_TEXT * concept.abs().max()).any():
                raise NotGuardedError(f"the {name} is the concept itself, so the guard would vanish; change the {name} or the concept")

    def _batched(self, arguments: dict[str, Any], whole: int) -> Estimates:
        i, latents = self._step[0], self.family.latents(arguments)
        needs_concept = self.guidance.needs_concept(i)
        self._count(i)
        if not self.guidance.needs_uncond:  # the concept takes the unconditional half's place
            halves = merged(arguments, self._rows(whole // 2), lambda old, new: torch.cat([new.to(old), second_half(old)]))
            concept, prompt = self._evaluate(halves).chunk(2)
            return Estimates(uncond=None, prompt=prompt, concept=concept)
        if needs_concept and latents[0, 0].numel() <= JOINED_UP_TO and self._has_shape_of(arguments):
            thirds = each_batch(arguments, whole, with_second_half_again)
            thirds = merged(thirds, self._rows(whole // 2), lambda old, new: torch.cat([old[:whole], new.to(old)]))
            uncond, prompt, concept = self._evaluate(thirds).chunk(3)
            return Estimates(uncond=uncond, prompt=prompt, concept=concept)
        uncond, prompt = self._evaluate(arguments).chunk(2)
        if not needs_concept:
            return Estimates(uncond=uncond, prompt=prompt)
        of_prompt = each_batch(arguments, whole, second_half)
        return Estimates(uncond=uncond, prompt=prompt, concept=self._evaluate(self._for_concept(of_prompt, whole // 2)))

    def _for_concept(self, of_prompt: dict[str, Any], rows: int) -> dict[str, Any]:
        """The prompt's arguments with the concept's text."""
        return merged(of_prompt, self._rows(rows), lambda old, new: new.to(old))

    def _rows(self, rows: int) -> dict[str, Any]:
        """The concept's text arguments for as many rows; position ids have no rows."""
        return each_batch(self.concept, 1, lambda one: one.expand(rows, *one.shape[1:]))

    def _has_shape_of(self, arguments: dict[str, Any]) -> bool:
        return arguments["encoder_hidden_states"].shape[1:] == self.concept["encoder_hidden_states"].shape[1:]

    def _count(self, i: int) -> None:
        assert self.tally is not None  # made before the first evaluation
        self.tally.evaluations += 3 if self.guidance.needs_concept(i) and self.guidance.needs_uncond else 2

    def _correct(self, estimates: Estimates, latents: Tensor) -> Correction:
        assert self.tally is not None
        i, look = self._step
        if self.evaluated == 0:
            self._next_state = self.guidance.init(estimates.prompt)
        if look == 0:
            self.state = self._next_state
        correction, state = self.guidance.correct(estimates, self.state, i, self.schedule.unit(self.evaluated))
        if look == 0:  # the momentum belongs to the step: a solver's second look at it changes nothing
            self._next_state = state
        self.tally.observe(i, estimates, correction)
        if self.watch is not None:
            of_schedule = {"timestep": self.schedule.timestep(self.evaluated), "mixture": self.schedule.mixture(self.evaluated)}
            self.watch(Moment(i=i, **of_schedule, latents=latents, estimates=estimates, correction=correction))
        self.evaluated += 1
        return correction

    def _evaluate(self, arguments: dict[str, Any]) -> Tensor:
        forward = self.fn_ref.original_forward
        assert forward is not None  # set when the hook was registered
        noise = forward(**arguments, return_dict=False)[0]
        if not torch.isfinite(noise).all():
            raise GuardError(
                f"the model's estimate at evaluation {self.evaluated + 1} is not finite (NaN or infinite); there is no image to trust"
            )
        return noise


def _output(module: nn.Module, noise: Tensor) -> Any:
    from diffusers.models.modeling_outputs import Transformer2DModelOutput
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel, UNet2DConditionOutput

    return UNet2DConditionOutput(sample=noise) if isinstance(module, UNet2DConditionModel) else Transformer2DModelOutput(sample=noise)
