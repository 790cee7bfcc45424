"""Blocks of a modular pipeline, guarded: they run on a view of the pipeline whose guiders and
scheduler belong to the call alone, with one block more, which encodes the concept.

So the pipeline itself is never touched: nothing has to be put back after a call, even an
interrupted one, and two calls at once do not share a momentum.
"""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

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
from safelatent.errors import SafelatentError, UnsupportedError
from safelatent.guidance import Guidance
from safelatent.guidance.concept_itself import refuse_replaced_negative
from safelatent.guidance.estimates import Choosing
from safelatent.guidance.noise import real_number
from safelatent.guidance.ordered_call import StepRecord
from safelatent.guidance.plan import EXACT, Plan
from safelatent.pipelines.decoder import decoder_checked
from safelatent.pipelines.encoded import EncodedConcepts
from safelatent.pipelines.foreign import hooks_that_look
from safelatent.pipelines.mask import check_mask
from safelatent.pipelines.modular.checks import (
    DENOISERS,
    blocks_named,
    check_guiders,
    check_pipeline,
    guider_of,
    text_encoder_of,
)
from safelatent.pipelines.modular.encoding import ConceptBlock
from safelatent.pipelines.modular.guider import SafetyGuider
from safelatent.pipelines.modular.run import ModularCall, WatchedDenoiser
from safelatent.pipelines.outputs import check_modular
from safelatent.pipelines.safety import guidance_of
from safelatent.pipelines.schedule import is_flow

_LOGGER = "diffusers.modular_pipelines.modular_pipeline"


class GuardedBlocks(ModularPipelineBlocks):
    """``GuardedBlocks("StableDiffusionXLAutoBlocks", "strong").init_pipeline(...)`` is a pipeline
    whose every image is guarded.

    Its state has ``receipts``, one per image.

    Args:
        blocks: the blocks of a pipeline, or the name of their class in diffusers.
        safety: a preset's name, an ``SLD``, ``NegativePrompt()``, or a sequence with one of the
            first two per image of a call.
        concept: what must not appear, in words.
        plan: which evaluations to pay for, as ``guard`` takes it.
        guiders: guiders that replace the blocks' defaults, by component name, as configurations
            with ``_class_name``.

    Raises:
        UnsupportedError: the blocks cannot be guarded.
        BadValueError: the safety, the concept or the plan breaks a rule, or diffusers has no such
            blocks.
    """

    def __init__(
        self,
        blocks: ModularPipelineBlocks | str,
        safety: Any = "medium",
        concept: Concept | str = DEFAULT_CONCEPT,
        plan: Plan | str = EXACT,
        guiders: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.inner = blocks_named(blocks) if isinstance(blocks, str) else blocks
        self.encoder = text_encoder_of(type(self.inner).__name__, self.inner)
        self.plan = Plan.parse(plan)
        self.plan.check(_one_concept(guidance_of(safety, flow=False)))
        self.safety, self.concept, self.guiders = safety, Concept.parse(concept), guiders or {}
        self.watch: Callable[[StepRecord], None] | None = None
        self.encoded = EncodedConcepts()
        self.sub_blocks = self.inner.sub_blocks

    @property
    def model_name(self) -> str | None:
        return self.inner.model_name

    @property
    def description(self) -> str:
        guarded = f"Guarded by Safe Latent Diffusion: {self.safety!r} against {self.concept}."
        return f"{self.inner.description}\n{guarded}"

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
            OutputParam("receipts", description="What the guard did, one per image."),
        ]

    @property
    def available_workflows(self) -> list[str]:
        return self.inner.available_workflows

    def get_workflow(self, workflow_name: str) -> GuardedBlocks:
        return GuardedBlocks(
            self.inner.get_workflow(workflow_name),
            self.safety,
            self.concept,
            self.plan,
            self.guiders,
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
            guidance,
            self.concept,
            scheduler,
            denoisers,
            lambda: state.get("timesteps"),
            self.plan,
            self.watch,
        )
        try:
            with ExitStack() as contexts:
                contexts.enter_context(refusals_in_one_line())
                contexts.enter_context(decoder_checked(pipe, run.settle))
                for name, denoiser in denoisers.items():
                    contexts.enter_context(hooks_that_look(denoiser, name))
                self._with_concept(run)(self._view(pipe, guiders, run), state)
        finally:
            run.leave_caches()
        receipts = run.receipts()
        check_mask(state.get("mask"))
        check_modular(state.values, len(receipts))
        state.set("receipts", receipts)
        return pipe, state

    def _view(self, pipe: Any, guiders: dict[str, BaseGuidance], run: ModularCall) -> Any:
        """The pipeline with parts of the call's own, where it has a state."""
        view = copy.copy(pipe)
        view.scheduler = run.scheduler
        for name, guider in guiders.items():
            inner = copy.deepcopy(guider)
            vars(inner)["guidance_scale"] = real_number(vars(guider)["guidance_scale"])
            setattr(view, name, SafetyGuider(inner, run))
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
        block = ConceptBlock(blocks.sub_blocks[self.encoder], run, self.encoded)
        blocks.sub_blocks.insert("concept", block, after)
        return blocks

    def _own_guider(self, spec: ComponentSpec) -> ComponentSpec:
        if spec.name not in self.guiders:
            return spec
        return ComponentSpec.from_component(spec.name, guider_of(self.guiders[spec.name]))


def _one_concept(guidance: Guidance) -> Guidance:
    """Refuse a guidance with several concepts: the guider asks for three predictions."""
    if isinstance(guidance, Choosing):
        raise UnsupportedError(
            "adaptive guidance is for classic pipelines; a modular one takes a preset or an SLD"
        )
    return guidance


@contextmanager
def refusals_in_one_line() -> Iterator[None]:
    """Log nothing, while the block runs, of an error that this package raised; of other errors,
    diffusers logs a traceback for every block that they pass through.
    """
    logger = logging.getLogger(_LOGGER)

    def is_not_ours(_record: logging.LogRecord) -> bool:
        return not isinstance(sys.exc_info()[1], SafelatentError)  # of the thread that logs

    logger.addFilter(is_not_ours)
    try:
        yield
    finally:
        logger.removeFilter(is_not_ours)
