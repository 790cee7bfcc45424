"""``guard`` for a modular pipeline."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import ModularPipeline
from diffusers.modular_pipelines import PipelineState

from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import UnsupportedError, nearest
from safelatent.guidance import Guidance
from safelatent.pipelines.guard_file import write_guard
from safelatent.guidance.guided_call import StepRecord
from safelatent.pipelines.modular.blocks import GuardedBlocks
from safelatent.pipelines.modular.refuse import check_pipeline, text_encoder_of
from safelatent.pipelines.modular.saving import save_modular
from safelatent.pipelines.safety import guidance_of
from safelatent.pipelines.saved import COMMIT, MODEL, push
from safelatent.pipelines.schedule import is_flow


def is_modular(pipe: Any) -> bool:
    """Whether the pipeline is one of diffusers' modular ones."""
    return isinstance(pipe, ModularPipeline)


def guard_modular(
    pipe: ModularPipeline, safety: Any = "medium", *, concept: Concept | str = DEFAULT_CONCEPT
) -> GuardedModular:
    """A guarded pipeline around ``pipe``, which itself stays as it is; see ``guard``.

    Raises:
        UnsupportedError: the pipeline cannot be guarded.
        BadValueError: the safety or the concept makes no sense.
    """
    if isinstance(pipe._blocks, GuardedBlocks):
        raise UnsupportedError(
            f"this {type(pipe).__name__} is guarded already, by its blocks; use it as it is"
        )
    text_encoder_of(type(pipe).__name__, pipe._blocks)
    check_pipeline(pipe)
    return GuardedModular(
        pipe=pipe,
        guidance=guidance_of(safety, flow=is_flow(pipe.scheduler)),
        concept=Concept.parse(concept),
    )


@dataclass(frozen=True, kw_only=True)
class GuardedModular:
    """A modular pipeline whose every image is guarded; made by ``guard``."""

    pipe: Any
    guidance: Guidance
    concept: Concept

    def __call__(
        self,
        state: PipelineState | None = None,
        output: str | list[str] | None = None,
        **inputs: Any,
    ) -> Any:
        """Call the pipeline with its own inputs, guarded.

        Returns:
            What the pipeline gives for ``output``. ``receipts``, one an image, are a value of the
            state like any other: of the whole state without ``output``, and with
            ``output=["images", "receipts"]`` of the dictionary.

        Raises:
            GuardError: an image would be, or was, unguarded, or the model's estimates are not
                finite. There is no image then.
            BadValueError: the concept is longer than the text encoder reads.
            TypeError: an input that the pipeline does not have and would drop.
        """
        return self._run(None, state, output, inputs)

    def watch(
        self, see: Callable[[StepRecord], None], state: PipelineState | None = None, **inputs: Any
    ) -> PipelineState:
        """As a plain call, and ``see`` gets every step's ``StepRecord``; the latents are packed as
        the family has them.
        """
        return self._run(see, state, None, inputs)

    def to(self, *args: Any, **kwargs: Any) -> GuardedModular:
        """Move the pipeline (device, dtype); returns the guarded one."""
        self.pipe.to(*args, **kwargs)
        return self

    def save_pretrained(self, folder: str | Path) -> Path:
        """Save guard and pipeline below ``folder``; what is loaded from it is guarded, by diffusers
        alone too.

        Raises:
            BadValueError: the guidance is of a class that cannot be saved.
            UnsupportedError: the pipeline could not be loaded again.
        """
        write_guard(Path(folder), self.guidance, self.concept)
        save_modular(self.pipe, self.guidance, self.concept, Path(folder) / MODEL)
        return Path(folder)

    def push_to_hub(
        self, repo_id: str, *, private: bool | None = None, commit_message: str = COMMIT
    ) -> str:
        """As ``save_pretrained``, to the Hub, where ``repo_id`` is made when it is not there;
        returns the address of the commit.
        """
        return push(self.save_pretrained, repo_id, private=private, commit_message=commit_message)

    def _run(
        self,
        see: Callable[[StepRecord], None] | None,
        state: PipelineState | None,
        output: Any,
        inputs: dict[str, Any],
    ) -> Any:
        blocks = GuardedBlocks(self.pipe._blocks, self.guidance, self.concept)
        blocks.watch = see
        self._check_names(blocks, inputs)
        view = copy.copy(self.pipe)
        view._blocks = blocks
        return view(state=state, output=output, **inputs)

    def _check_names(self, blocks: GuardedBlocks, inputs: dict[str, Any]) -> None:
        known = {name for one in blocks.inputs for name in (one.name, one.kwargs_type) if name}
        for name in inputs.keys() - known:
            hint = (
                "; the scale is the guider's" if name == "guidance_scale" else nearest(name, known)
            )
            raise TypeError(f"{type(self.pipe).__name__} has no input {name!r}{hint}")
