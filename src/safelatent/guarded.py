"""``guard(pipe, "strong")``: the whole flow on one screen.

A guarded pipeline takes the pipeline's own arguments and gives its own output, plus one receipt an image. While a call runs, a hook on
the denoiser applies the guidance; afterwards the pipeline is as it was. A call that would leave an image unguarded is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError
from safelatent.guidance import Guidance, PerRow, preset
from safelatent.hosts import GuidanceHook, Moment, Receipt, attached, check_pipeline, encode_concept
from safelatent.hosts.classic import bind_call, check_call, check_concept


def guard(pipe: Any, policy: str | Guidance | Sequence[str | Guidance] = "medium", *, concept: Concept | str = DEFAULT_CONCEPT) -> Guarded:
    """A guarded pipeline around ``pipe``, which itself stays as it is.

    Args:
        pipe: a Stable Diffusion 1.x / 2.x pipeline of diffusers.
        policy: a preset's name (weak, medium, strong, max), an ``SLD`` with settings of your own, ``NegativePrompt()``, or a sequence
            with one of the first two for each image of a call.
        concept: what must not appear, in words; default: the paper's 20 terms.

    Raises:
        UnsupportedError: the pipeline cannot be guarded.
        BadValueError: the policy or the concept makes no sense.
    """
    check_pipeline(pipe)
    concept = Concept.parse(concept)
    check_concept(pipe, concept)
    return Guarded(pipe=pipe, guidance=_guidance(policy), concept=concept)


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """A pipeline whose every image is guarded; made by ``guard``."""

    pipe: Any
    guidance: Guidance
    concept: Concept

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the pipeline with its own arguments, guarded.

        Returns:
            The pipeline's own output with ``receipts`` beside it, one an image; with ``return_dict=False`` they end the tuple.

        Raises:
            GuardError: an image would be, or was, unguarded, or the model's estimates are not finite. There is no image then.
            BadValueError: an argument that makes no sense.
        """
        output, receipts = self._run(bind_call(self.pipe, args, kwargs), None)
        if isinstance(output, tuple):
            return (*output, receipts)
        output["receipts"] = receipts
        return output

    def watch(self, see: Callable[[Moment], None], *args: Any, **kwargs: Any) -> Any:
        """As a plain call, and ``see`` gets every step's ``Moment``: latents, estimates and what became of them."""
        output, receipts = self._run(bind_call(self.pipe, args, kwargs) | {"return_dict": True}, see)
        output["receipts"] = receipts
        return output

    def to(self, *args: Any, **kwargs: Any) -> Guarded:
        """Move the pipeline (device, dtype); returns the guarded one."""
        self.pipe.to(*args, **kwargs)
        return self

    def _run(self, arguments: dict[str, Any], see: Callable[[Moment], None] | None) -> tuple[Any, list[Receipt]]:
        check_call(arguments)
        hook = GuidanceHook(self.pipe, self.guidance, encode_concept(self.pipe, self.concept, arguments), see)
        with attached(self.pipe.unet, hook):
            output = self.pipe(**arguments)
        receipts = hook.finish().receipts(str(self.concept), hook.steps)
        return output, receipts


def _guidance(policy: object) -> Guidance:
    if isinstance(policy, str):
        return preset(policy)
    if isinstance(policy, Guidance):
        return policy
    if isinstance(policy, Sequence):
        return PerRow([_guidance(one) for one in policy])
    raise BadValueError(f"the policy is {policy!r}; it must be a preset's name, an SLD, NegativePrompt(), or one of them for each image")
