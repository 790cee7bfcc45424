"""Blocks of a modular pipeline, guarded: they are run on a view of the pipeline whose guiders and
scheduler belong to the call alone.

So the pipeline itself is never touched: nothing has to be put back after a call, an interrupted one
included, and two calls at once do not share a momentum.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from diffusers import ModularPipelineBlocks
from diffusers.guiders import BaseGuidance
from diffusers.modular_pipelines import (
    ComponentSpec,
    ConfigSpec,
    InputParam,
    OutputParam,
    PipelineState,
)
from diffusers.modular_pipelines.modular_pipeline_utils import InsertableDict

from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError, UnsupportedError, nearest
from safelatent.guidance.concept_itself import refuse_replaced_negative
from safelatent.guidance.guided_call import StepRecord
from safelatent.pipelines.modular.concept_block import ConceptBlock
from safelatent.pipelines.modular.guider import SafetyGuider
from safelatent.pipelines.modular.quiet import refusals_in_one_line
from safelatent.pipelines.modular.refuse import (
    DENOISERS,
    INNER,
    check_guiders,
    check_pipeline,
    text_encoder_of,
)
from safelatent.pipelines.modular.run import ModularCall, WatchedDenoiser
from safelatent.pipelines.outputs import check_modular, decoder_checked
from safelatent.pipelines.safety import guidance_of
from safelatent.pipelines.schedule import is_flow


class GuardedBlocks(ModularPipelineBlocks):
    """``GuardedBlocks("StableDiffusionXLAutoBlocks", "strong").init_pipeline(...)`` is a pipeline
    whose every image is guarded.

    Its state has ``receipts`` beside the images, one an image.

    Args:
        blocks: the blocks of a pipeline, or the name of their class in diffusers.
        safety: a preset's name, an ``SLD``, ``NegativePrompt()``, or one of the first two for each
            image of a call.
        concept: what must not appear, in words.
        guiders: guiders that take the place of the blocks' defaults, by component name, as
            configurations with ``_class_name``.

    Raises:
        UnsupportedError: the blocks cannot be guarded.
        BadValueError: the safety or the concept makes no sense, or diffusers has no such blocks.
    """

    def __init__(
        self,
        blocks: ModularPipelineBlocks | str,
        safety: Any = "medium",
        concept: Concept | str = DEFAULT_CONCEPT,
        guiders: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.inner = blocks_named(blocks) if isinstance(blocks, str) else blocks
        self.encoder = text_encoder_of(type(self.inner).__name__, self.inner)
        guidance_of(safety, flow=False)
        self.safety, self.concept, self.guiders = safety, Concept.parse(concept), guiders or {}
        self.watch: Callable[[StepRecord], None] | None = None
        self.sub_blocks = self.inner.sub_blocks

    @property
    def model_name(self) -> str | None:
        return self.inner.model_name

    @property
    def description(self) -> str:
        return f"{self.inner.description}\nGuarded by Safe Latent Diffusion: {self.safety!r} against {self.concept}."

    @property
    def expected_components(self) -> list[ComponentSpec]:
        return [self._own_guider(spec) for spec in self.inner.expected_components]

    @property
    def expected_configs(self) -> list[ConfigSpec]:
        return self.inner.expected_configs

    @property
    def inputs(self) -> list[InputParam]:
        return self.inner.inputs

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [
            *self.inner.intermediate_outputs,
            OutputParam("receipts", description="What the guard did, one an image."),
        ]

    @property
    def available_workflows(self) -> list[str]:
        return self.inner.available_workflows

    def get_workflow(self, workflow_name: str) -> GuardedBlocks:
        return GuardedBlocks(
            self.inner.get_workflow(workflow_name), self.safety, self.concept, self.guiders
        )

    @torch.no_grad()
    def __call__(self, pipe: Any, state: PipelineState) -> tuple[Any, PipelineState]:
        guiders = check_pipeline(pipe)
        check_guiders(pipe, guiders)
        for name in ("prompt", "negative_prompt"):
            if isinstance(state.get(name), list):  # Z-Image writes into the caller's list
                state.set(name, list(state.get(name)))
        scheduler = copy.deepcopy(pipe.scheduler)
        guidance = guidance_of(self.safety, flow=is_flow(scheduler))
        denoisers = {n: part for n in DENOISERS if (part := getattr(pipe, n, None)) is not None}
        refuse_replaced_negative(guidance, state.values)
        run = ModularCall(
            guidance, self.concept, scheduler, denoisers, lambda: state.get("timesteps"), self.watch
        )
        try:
            with refusals_in_one_line(), decoder_checked(pipe):
                self._with_concept(run)(self._view(pipe, guiders, run), state)
        finally:
            run.leave_caches()
        receipts = run.receipts()
        check_modular(state.values, len(receipts))
        state.set("receipts", receipts)
        return pipe, state

    def _view(self, pipe: Any, guiders: dict[str, BaseGuidance], run: ModularCall) -> Any:
        """The pipeline with parts of the call's own, where it has a state."""
        view = copy.copy(pipe)
        view.scheduler = run.scheduler
        for name, guider in guiders.items():
            setattr(view, name, SafetyGuider(copy.deepcopy(guider), run))
        if self.watch is not None:
            for name in DENOISERS:
                if getattr(pipe, name, None) is not None:
                    setattr(view, name, WatchedDenoiser(getattr(pipe, name), run.see))
        return view

    def _with_concept(self, run: ModularCall) -> Any:
        """The blocks, with one that encodes the concept after the text encoder."""
        blocks = copy.copy(self.inner)
        blocks.sub_blocks = InsertableDict(self.inner.sub_blocks)
        after = list(blocks.sub_blocks).index(self.encoder) + 1
        blocks.sub_blocks.insert(
            "concept", ConceptBlock(blocks.sub_blocks[self.encoder], run), after
        )
        return blocks

    def _own_guider(self, spec: ComponentSpec) -> ComponentSpec:
        return (
            ComponentSpec.from_component(spec.name, guider_of(self.guiders[spec.name]))
            if spec.name in self.guiders
            else spec
        )


def guider_of(config: dict[str, Any]) -> BaseGuidance:
    """The guider of a configuration with ``_class_name``."""
    kind = getattr(diffusers.guiders, str(config.get("_class_name")), None)
    if kind is None or kind.__name__ not in INNER:
        raise UnsupportedError(
            f"the guider is {config.get('_class_name')!r}; the guard knows {', '.join(INNER)}"
        )
    return kind(**{name: value for name, value in config.items() if name != "_class_name"})


def blocks_named(name: str) -> ModularPipelineBlocks:
    """Diffusers' blocks of that class name."""
    kind = getattr(diffusers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, ModularPipelineBlocks)):
        known = [other for other in dir(diffusers) if other.endswith("Blocks")]
        raise BadValueError(
            f"diffusers has no blocks {name!r}{nearest(name, known)}; name a class like 'StableDiffusionXLAutoBlocks'"
        )
    return kind()
