"""Guidance as a guider of diffusers.

It asks for a third prediction and hands the pipeline's own guider ``c - gamma`` for ``c``. That
guider combines ``u`` and ``c'`` as it would ``u`` and ``c``: classifier-free guidance is then the
paper's Eq. 3, and the others (APG, CFG-Zero*, TCFG) do with ``c'`` what they do. Knows estimates
and batches; does not know models.
"""

from __future__ import annotations

from typing import Any

from diffusers.guiders import BaseGuidance
from diffusers.guiders.guider_utils import GuiderOutput
from diffusers.modular_pipelines.modular_pipeline import BlockState
from torch import Tensor, nn

from safelatent.errors import NotGuardedError
from safelatent.guidance import Estimates
from safelatent.pipelines.modular.run import ModularCall
from safelatent.pipelines.modular.text import chosen_batch, concept_batch, embeddings


class SafetyGuider(BaseGuidance):
    """The guider of one call.

    Args:
        inner: the pipeline's guider, or a copy that the call may use up; it takes two predictions.
        run: the call; shared where a pipeline has two guiders.
    """

    _input_predictions = ["pred_cond", "pred_uncond", "pred_concept"]  # noqa: RUF012  # diffusers asks for a list

    def __init__(self, inner: BaseGuidance, run: ModularCall) -> None:
        # Not BaseGuidance's: it warns at every instance that guiders are young, which the inner one
        # has said; its settings are inner's.
        self.inner, self.run = inner, run
        self._enabled = inner._enabled
        self._count_prepared = 0
        self._concept_is = 0  # which of the step's batches, from 1; 0: none

    def set_state(self, step: int, num_inference_steps: int, timestep: Any) -> None:
        super().set_state(step, num_inference_steps, timestep)
        self.inner.set_state(step, num_inference_steps, timestep)

    def get_state(self) -> dict[str, Any]:
        return self.inner.get_state()

    def prepare_models(self, denoiser: nn.Module) -> None:
        super().prepare_models(denoiser)
        self.inner.prepare_models(denoiser)
        self.run.leave_caches()
        if self._count_prepared == self._concept_is:
            self.run.enter_caches(denoiser)

    def cleanup_models(self, denoiser: nn.Module) -> None:
        self.run.leave_caches()
        self.inner.cleanup_models(denoiser)

    def prepare_inputs(self, data: Any) -> list[BlockState]:
        return self._with_concept(self.inner.prepare_inputs(data))

    def prepare_inputs_from_block_state(
        self, data: BlockState, input_fields: dict[str, Any]
    ) -> list[BlockState]:
        return self._with_concept(self.inner.prepare_inputs_from_block_state(data, input_fields))

    def __call__(self, data: list[BlockState]) -> GuiderOutput:
        return self.forward(
            **{getattr(batch, self._identifier_key): vars(batch)["noise_pred"] for batch in data}
        )

    def forward(
        self,
        pred_cond: Tensor,
        pred_uncond: Tensor | None = None,
        pred_concept: Tensor | None = None,
    ) -> GuiderOutput:
        """Return the inner guider's answer to ``u'`` and ``c'``, and the model's own ``c``.

        Qwen-Image renormalises the answer with ``c`` afterwards, and must not do so with ``c'``.
        """
        estimates = Estimates(uncond=pred_uncond, prompt=pred_cond, concept=pred_concept)
        if self.run.serves_both:
            estimates = Estimates(uncond=None, prompt=pred_cond, either=pred_uncond)
        # ``c + s (c - u)`` is ``u + (1 + s) (c - u)``.
        scale = float(self.inner.guidance_scale) + bool(self.inner.use_original_formulation)
        correction, guided = self.run.correct(estimates, scale)
        pred = pred_cond  # where guidance has ended, also of a guider that remembers directions
        if guided:
            pred = self.inner.forward(correction.prompt, correction.uncond).pred
        return GuiderOutput(pred=pred, pred_cond=pred_cond, pred_uncond=pred_uncond)

    @property
    def is_conditional(self) -> bool:
        return self._count_prepared != 2  # the order is prompt, unconditional, concept

    @property
    def num_conditions(self) -> int:
        """The inner guider's: text encoders ask whether an unconditional prompt is wanted."""
        return self.inner.num_conditions

    def _with_concept(self, batches: list[BlockState]) -> list[BlockState]:
        if (
            len(batches) != 2
            or embeddings(batches[1]) is None
            or embeddings(batches[0]) is embeddings(batches[1])
        ):
            raise NotGuardedError(
                "there is no unconditional estimate at this step, so the guard could not act; "
                "give negative_prompt='' and a guidance scale above 1"
            )
        prompt, uncond = batches
        call = self.run.under_way(
            self._timestep,
            embeddings(prompt),
            embeddings(uncond),
            self._num_inference_steps,
        )
        look, self._concept_is = call.look, 0
        concept_next = call.concept_next(look)
        if concept_next is not None:
            concept = concept_batch(prompt, self.run.text, "pred_uncond")
            return [prompt, chosen_batch(concept_next, concept, uncond)]
        uncond_too = call.guidance.needs_uncond and (self.run.cached or look.uncond == "evaluated")
        chosen = [prompt, uncond] if uncond_too else [prompt]
        if self.run.cached or look.concept == "evaluated":
            chosen.append(concept_batch(prompt, self.run.text, "pred_concept"))
            self._concept_is = len(chosen)
        return chosen
