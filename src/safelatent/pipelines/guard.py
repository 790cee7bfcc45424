"""``guard(pipe, "strong")``: the whole flow on one screen.

A guarded pipeline takes the pipeline's own arguments and gives its own output, plus one receipt an
image. While a call runs, a hook on the denoiser applies the guidance; afterwards the pipeline is as
it was. A call that would leave an image unguarded is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import UnsupportedError
from safelatent.guidance import Guidance
from safelatent.guidance.guided_call import StepRecord
from safelatent.guidance.receipt import Receipt
from safelatent.pipelines.classic.checks import bind_call, check_call, check_distilled
from safelatent.pipelines.classic.concept_text import check_concept, encode_concept
from safelatent.pipelines.classic.families import Family, family_of
from safelatent.pipelines.classic.hook import GuidanceHook
from safelatent.pipelines.denoiser import attached
from safelatent.pipelines.guard_file import write_guard
from safelatent.pipelines.modular import GuardedModular, guard_modular, is_modular
from safelatent.pipelines.outputs import check_classic, decoder_checked
from safelatent.pipelines.prompt_length import default_length
from safelatent.pipelines.safety import guidance_of
from safelatent.pipelines.saved import COMMIT, MODEL, push
from safelatent.pipelines.schedule import is_flow

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, ModularPipeline

Safety = str | Guidance | Sequence[str | Guidance]


@overload
def guard(
    pipe: ModularPipeline, safety: Safety = "medium", *, concept: Concept | str = DEFAULT_CONCEPT
) -> GuardedModular: ...
@overload
def guard(
    pipe: DiffusionPipeline, safety: Safety = "medium", *, concept: Concept | str = DEFAULT_CONCEPT
) -> Guarded: ...


def guard(
    pipe: Any, safety: Safety = "medium", *, concept: Concept | str = DEFAULT_CONCEPT
) -> Guarded | GuardedModular:
    """A guarded pipeline around ``pipe``, which itself stays as it is.

    Args:
        pipe: a pipeline of diffusers with classifier-free guidance (``docs/hosts.md`` lists them).
        safety: a preset's name (weak, medium, strong, max), an ``SLD`` with settings of your own,
            ``NegativePrompt()``, or a sequence with one of the first two for each image of a call.
            The warm-up of a preset named here is in steps on Stable Diffusion's schedule, as
            published, and the same noise level on rectified flow.
        concept: what must not appear, in words; default: the paper's 20 terms.

    Raises:
        UnsupportedError: the pipeline cannot be guarded.
        BadValueError: the safety or the concept makes no sense.
    """
    if isinstance(pipe, Guarded | GuardedModular):
        raise UnsupportedError(
            f"this {type(pipe.pipe).__name__} is guarded already; guard(safe.pipe, ...) gives it another guard"
        )
    if is_modular(pipe):
        return guard_modular(pipe, safety, concept=concept)
    family = family_of(pipe)
    check_distilled(pipe, family)
    concept = Concept.parse(concept)
    check_concept(pipe, concept, default_length(pipe))
    return Guarded(
        pipe=pipe,
        family=family,
        guidance=guidance_of(safety, flow=is_flow(pipe.scheduler)),
        concept=concept,
    )


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """A pipeline whose every image is guarded; made by ``guard``."""

    pipe: Any
    family: Family
    guidance: Guidance
    concept: Concept

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the pipeline with its own arguments, guarded.

        Returns:
            The pipeline's own output with ``receipts`` beside it, one an image; with
            ``return_dict=False`` they end the tuple.

        Raises:
            GuardError: an image would be, or was, unguarded, or the model's estimates are not
                finite. There is no image then.
            BadValueError: an argument that makes no sense.
        """
        output, receipts = self._run(bind_call(self.pipe, args, kwargs), None)
        if isinstance(output, tuple):
            return (*output, receipts)
        output["receipts"] = receipts
        return output

    def watch(self, see: Callable[[StepRecord], None], *args: Any, **kwargs: Any) -> Any:
        """As a plain call, and ``see`` gets every step's ``StepRecord``: latents, estimates and
        what became of them.
        """
        output, receipts = self._run(
            bind_call(self.pipe, args, kwargs) | {"return_dict": True}, see
        )
        output["receipts"] = receipts
        return output

    def save_pretrained(self, folder: str | Path) -> Path:
        """Save guard and pipeline below ``folder``; ``safelatent.load(folder)`` gives it back
        guarded, and no loader unguarded.

        Raises:
            BadValueError: the guidance is of a class that cannot be saved.
        """
        write_guard(Path(folder), self.guidance, self.concept)
        self.pipe.save_pretrained(Path(folder) / MODEL, safe_serialization=True)
        return Path(folder)

    def push_to_hub(
        self, repo_id: str, *, private: bool | None = None, commit_message: str = COMMIT
    ) -> str:
        """As ``save_pretrained``, to the Hub, where ``repo_id`` is made when it is not there;
        returns the address of the commit.
        """
        return push(self.save_pretrained, repo_id, private=private, commit_message=commit_message)

    def to(self, *args: Any, **kwargs: Any) -> Guarded:
        """Move the pipeline (device, dtype); returns the guarded one."""
        self.pipe.to(*args, **kwargs)
        return self

    def _run(
        self, arguments: dict[str, Any], see: Callable[[StepRecord], None] | None
    ) -> tuple[Any, list[Receipt]]:
        check_call(self.family, arguments)
        check_concept(self.pipe, self.concept, arguments.get("max_sequence_length"))
        concept = encode_concept(self.pipe, self.family, self.concept, arguments)
        hook = GuidanceHook(self.pipe, self.family, self.guidance, concept, arguments, see)
        with attached(getattr(self.pipe, self.family.denoiser), hook), decoder_checked(self.pipe):
            output = self.pipe(**arguments)
        receipts = hook.finish(str(self.concept))
        check_classic(output, len(receipts))
        return output, receipts
