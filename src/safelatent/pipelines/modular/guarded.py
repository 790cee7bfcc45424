"""``guard`` for a modular pipeline."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffusers import ModularPipeline
from diffusers.modular_pipelines import PipelineState

from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError, UnsupportedError, brief, nearest
from safelatent.guidance.ordered_call import StepRecord
from safelatent.guidance.plan import EXACT, Plan
from safelatent.pipelines.encoded import EncodedConcepts
from safelatent.pipelines.guarded import Guarded, Safety, refuse_sld
from safelatent.pipelines.modular.blocks import GuardedBlocks, refusals_in_one_line
from safelatent.pipelines.modular.checks import check_pipeline, text_encoder_of
from safelatent.pipelines.safety import ConceptEmbeds
from safelatent.pipelines.saving import save_modular


def guard_modular(
    pipe: ModularPipeline,
    safety: Safety = "medium",
    *,
    concept: Concept | ConceptEmbeds | str = DEFAULT_CONCEPT,
    plan: Plan | str = EXACT,
) -> GuardedModular:
    """Return a guarded pipeline around ``pipe``, which itself stays as it is; see ``guard``.

    Raises:
        UnsupportedError: the pipeline cannot be guarded.
        BadValueError: the safety, the concept or the plan breaks a rule; the concept must be in
            words, which the pipeline's own block encodes.
    """
    if isinstance(concept, ConceptEmbeds):
        raise BadValueError(
            f"the concept is {concept!r}; a modular pipeline takes it in words: "
            f"concept={concept.text!r}"
        )
    words = Concept.parse(concept)
    return GuardedModular(pipe=pipe, safety=safety, concept=words, plan=Plan.parse(plan))


class GuardedModular(Guarded):
    """A modular pipeline whose every image is guarded; made by ``guard``."""

    concept: Concept  # pyright: ignore[reportIncompatibleVariableOverride]  # in words alone

    def __init__(self, *, pipe: Any, safety: Safety, concept: Concept, plan: Plan) -> None:
        if isinstance(pipe._blocks, GuardedBlocks):
            raise UnsupportedError(
                f"this {type(pipe).__name__} is guarded already, by its blocks; use it as it is"
            )
        text_encoder_of(type(pipe).__name__, pipe._blocks)
        check_pipeline(pipe)
        super().__init__(pipe=pipe, safety=safety, concept=concept, plan=plan)
        GuardedBlocks(pipe._blocks, safety, concept, plan)  # raises, if the safety is not for it
        vars(self).update(_encoded=EncodedConcepts())

    @brief
    def __call__(
        self,
        state: PipelineState | None = None,
        output: str | list[str] | None = None,
        **inputs: Any,
    ) -> Any:
        """Call the pipeline with its own inputs, guarded.

        Returns:
            What the pipeline returns for ``output``. ``receipts``, one per image, are a value of
            the state like any other: of the whole state without ``output``, and with
            ``output=["images", "receipts"]`` of the dictionary.

        Raises:
            GuardError: an image would be, or was, unguarded, or the model's estimates are not
                finite. No image is returned then.
            BadValueError: the concept is longer than the text encoder reads.
            TypeError: an input that the pipeline does not have and would drop.
        """
        return self._run(None, state, output, inputs)

    @brief
    def watch(
        self,
        callback: Callable[[StepRecord], None],
        state: PipelineState | None = None,
        **inputs: Any,
    ) -> PipelineState:
        """Call ``callback(step)`` after every denoising step with its ``StepRecord``, whose latents
        are packed as the family has them. Otherwise as a plain call.
        """
        return self._run(callback, state, None, inputs)

    def _run(
        self,
        callback: Callable[[StepRecord], None] | None,
        state: PipelineState | None,
        output: Any,
        inputs: dict[str, Any],
    ) -> Any:
        refuse_sld(inputs)
        blocks = GuardedBlocks(self.pipe._blocks, self.safety, self.concept, self.plan)
        blocks.watch, blocks.encoded = callback, self._encoded
        self._check_names(blocks, inputs)
        view = copy.copy(self.pipe)
        view._blocks = blocks
        with refusals_in_one_line():
            return view(state=state, output=output, **inputs)

    def _check_names(self, blocks: GuardedBlocks, inputs: dict[str, Any]) -> None:
        known = {name for one in blocks.inputs for name in (one.name, one.kwargs_type) if name}
        for name in inputs.keys() - known:
            hint = (
                "; the scale is the guider's" if name == "guidance_scale" else nearest(name, known)
            )
            raise TypeError(f"{type(self.pipe).__name__} has no input {name!r}{hint}")

    def _save_model(self, folder: Path, options: dict[str, Any]) -> None:
        save_modular(self.pipe, self.guidance, self.concept, self.plan, folder, **options)
