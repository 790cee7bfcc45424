"""Guidance on the denoiser of a classic pipeline: a diffusers ``ModelHook`` that is there for one call and leaves no trace.

The pipeline asks its UNet for ``[e_u, e_p]`` and combines them itself. The hook asks the UNet for ``e_S`` too and hands
``[e_u, e_p - gamma]`` back: the pipeline's combination is then the paper's Eq. 3. For small latents the concept joins the pipeline's
batch, which spares a call; for large ones it is a call of its own, which costs the same and needs no more memory than the pipeline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.hooks import HookRegistry, ModelHook
from torch import Tensor, nn

from safelatent.errors import BadValueError, GuardError, NotGuardedError
from safelatent.guidance import Correction, Estimates, Guidance, noise_unit
from safelatent.hosts.receipt import Tally

HOOK_NAME = "safelatent"
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
        latents: (B, C, H, W), as the UNet got them.
        estimates: the model's own.
        correction: what became of them.
    """

    i: int
    timestep: float
    latents: Tensor
    estimates: Estimates
    correction: Correction


class GuidanceHook(ModelHook):
    """The guidance of one call of one pipeline.

    Args:
        pipe: the pipeline, which knows whether it guides, how many steps it takes and in which units it predicts.
        guidance: what to do with the estimates.
        concept: (1, tokens, width), the concept's text embeddings.
        watch: called with every ``Moment``.
    """

    def __init__(self, pipe: Any, guidance: Guidance, concept: Tensor, watch: Callable[[Moment], None] | None = None) -> None:
        super().__init__()
        self.pipe, self.guidance, self.concept, self.watch = pipe, guidance, concept, watch
        self.calls = 0
        self.tally: Tally | None = None
        self.state: Any = None  # at the start of the step that is under way
        self._next_state: Any = None

    @property
    def order(self) -> int:
        """Evaluations a step: a second-order solver makes two. PNDM's doubled step counts as two steps, as the paper's authors have it."""
        return int(self.pipe.scheduler.order)

    @property
    def steps(self) -> int:
        """Steps of the call."""
        return math.ceil(self.pipe.num_timesteps / self.order)

    def new_forward(self, module: nn.Module, sample: Tensor, timestep: Any, encoder_hidden_states: Tensor, **options: Any) -> Any:
        """The UNet's forward, guided. Arguments are the UNet's own, with batches ``[unconditional, prompt]``."""
        if self.calls == 0:
            self._begin(sample, encoder_hidden_states)
        assert self.tally is not None
        i, look = divmod(self.calls, self.order)
        if look == 0:
            self.state = self._next_state
        return_dict = options.pop("return_dict", True)
        estimates = self._estimates(i, sample, timestep, encoder_hidden_states, options)
        t = float(torch.as_tensor(timestep).flatten()[0])
        scheduler = self.pipe.scheduler
        unit = noise_unit(scheduler.config.prediction_type, scheduler.alphas_cumprod, t)
        correction, state = self.guidance.correct(estimates, self.state, i, unit)
        if look == 0:  # the momentum belongs to the step: a solver's second look at it changes nothing
            self._next_state = state
        self.calls += 1
        self.tally.observe(i, estimates, correction)
        if self.watch is not None:
            self.watch(Moment(i=i, timestep=t, latents=second_half(sample), estimates=estimates, correction=correction))
        both = torch.cat([correction.uncond, correction.prompt])
        return _output(both) if return_dict else (both,)

    def finish(self) -> Tally:
        """What was counted.

        Raises:
            NotGuardedError: the call ended early, or an image was changed by no step.
        """
        if self.tally is None or self.calls < self.pipe.num_timesteps:
            raise NotGuardedError(f"the call ended after {self.calls} evaluations, before its last step; no image is given out half guided")
        rows = self.tally.unguided_rows()
        if rows:
            raise NotGuardedError(
                f"no step changed image {', '.join(map(str, rows))}: the guard had nothing to act on; rephrase the prompt"
            )
        return self.tally

    def _begin(self, sample: Tensor, text: Tensor) -> None:
        """Refuse, before the first evaluation, what would leave an image unguarded."""
        if not self.pipe.do_classifier_free_guidance:
            raise NotGuardedError("classifier-free guidance is off and the guard could not act; give a guidance_scale above 1")
        if len(sample) % 2 or len(sample) != len(text):
            raise GuardError(
                f"the UNet got {len(sample)} latents and {len(text)} texts, not an unconditional and a prompt's half of one size"
            )
        acts_from, steps = self.guidance.acts_from, self.steps
        if acts_from >= steps:
            raise NotGuardedError(
                f"the warm-up is {acts_from} steps and the call has {steps}: no step would be guided; take more steps or a shorter warm-up"
            )
        rows = len(sample) // 2
        if self.guidance.rows not in (None, rows):
            raise BadValueError(f"settings for {self.guidance.rows} images met a call that makes {rows}; give one an image")
        self._refuse_concept_itself(text)
        self.concept = self.concept.to(text).expand(rows, -1, -1)
        self.tally = Tally(self.guidance, rows)
        self._next_state = self.guidance.init(second_half(sample)[:, : self.pipe.unet.config.out_channels])

    def _refuse_concept_itself(self, text: Tensor) -> None:
        """A hole in the method: where prompt or negative prompt is the concept itself, ``e_p - e_S`` or ``e_S - e_u`` is zero."""
        if not self.guidance.needs_uncond:
            return
        for name, half in (("negative prompt", first_half(text)), ("prompt", second_half(text))):
            if half.shape[1:] != self.concept.shape[1:]:
                continue
            distance = (half - self.concept.to(half)).abs().amax(dim=(1, 2))
            if (distance <= SAME_TEXT * self.concept.abs().max()).any():
                raise NotGuardedError(f"the {name} is the concept itself, so the guard would vanish; change the {name} or the concept")

    def _estimates(self, i: int, sample: Tensor, timestep: Any, text: Tensor, options: dict[str, Any]) -> Estimates:
        assert self.tally is not None
        needs_concept = self.guidance.needs_concept(i)
        self.tally.evaluations += 3 if needs_concept and self.guidance.needs_uncond else 2
        if not self.guidance.needs_uncond:  # the concept takes the unconditional half's place
            first, prompt = self._evaluate(sample, timestep, torch.cat([self.concept, second_half(text)]), options).chunk(2)
            return Estimates(uncond=None, prompt=prompt, concept=first)
        whole = len(sample)
        if needs_concept and sample[0, 0].numel() <= JOINED_UP_TO:
            sample, timestep, options = _each_batch((sample, timestep, options), whole, _with_second_half_again)
            first, prompt, concept = self._evaluate(sample, timestep, torch.cat([text, self.concept]), options).chunk(3)
            return Estimates(uncond=first, prompt=prompt, concept=concept)
        first, prompt = self._evaluate(sample, timestep, text, options).chunk(2)
        if not needs_concept:
            return Estimates(uncond=first, prompt=prompt)
        sample, timestep, options = _each_batch((sample, timestep, options), whole, second_half)
        return Estimates(uncond=first, prompt=prompt, concept=self._evaluate(sample, timestep, self.concept, options))

    def _evaluate(self, sample: Tensor, timestep: Any, text: Tensor, options: dict[str, Any]) -> Tensor:
        forward = self.fn_ref.original_forward
        assert forward is not None  # set when the hook was registered
        noise = forward(sample, timestep, encoder_hidden_states=text, return_dict=False, **options)[0]
        if not torch.isfinite(noise).all():
            raise GuardError(
                f"the model's estimate at evaluation {self.calls + 1} is not finite (NaN or infinite); there is no image to trust"
            )
        return noise


@contextmanager
def attached(module: nn.Module, hook: ModelHook) -> Iterator[None]:
    """``hook`` on ``module`` while the block runs; afterwards the module is as it was, whatever happened.

    Raises:
        GuardError: the module is guarded already, by a call that is under way (another thread's, or an outer one).
    """
    had_forward, had_registry = "forward" in vars(module), hasattr(module, "_diffusers_hook")
    registry = HookRegistry.check_if_exists_or_initialize(module)
    if registry.get_hook(HOOK_NAME) is not None:
        raise GuardError("this pipeline is in the middle of another guarded call; give each thread a pipeline of its own")
    registry.register_hook(hook, HOOK_NAME)
    try:
        yield
    finally:
        registry.remove_hook(HOOK_NAME, recurse=False)
        if not had_forward:  # diffusers puts the bound method back as an attribute of the instance
            vars(module).pop("forward", None)
        if not had_registry:
            del module._diffusers_hook


def first_half(batch: Tensor) -> Tensor:
    """The unconditional half."""
    return batch[: len(batch) // 2]


def second_half(batch: Tensor) -> Tensor:
    """The prompt's half."""
    return batch[len(batch) // 2 :]


def _with_second_half_again(batch: Tensor) -> Tensor:
    """``[unconditional, prompt, prompt]``: what stands beside the concept stands beside the prompt."""
    return torch.cat([batch, second_half(batch)])


def _each_batch(value: Any, whole: int, change: Callable[[Tensor], Tensor]) -> Any:
    """``change`` on every tensor in ``value`` that has the batch's size: ControlNet residuals, IP-Adapter lists, timesteps."""
    if isinstance(value, Tensor):
        return change(value) if value.dim() > 0 and len(value) == whole else value
    if isinstance(value, dict):
        return {key: _each_batch(item, whole, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_each_batch(item, whole, change) for item in value)
    return value


def _output(noise: Tensor) -> Any:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput

    return UNet2DConditionOutput(sample=noise)
