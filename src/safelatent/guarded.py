"""``guard(pipe, "strong")``: the whole flow on one screen.

A guarded pipeline takes the pipeline's own arguments and gives its own output, plus one receipt an image. While a call runs, a hook on
the denoiser applies the guidance; afterwards the pipeline is as it was. A call that would leave an image unguarded is an error.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError
from safelatent.guidance import Guidance, PerRow, preset
from safelatent.hosts import Family, GuidanceHook, Moment, Receipt, attached, family_of
from safelatent.hosts.classic import bind_call, check_call, check_distilled
from safelatent.hosts.concept_text import check_concept, encode_concept
from safelatent.hosts.schedule import is_flow


def guard(pipe: Any, policy: str | Guidance | Sequence[str | Guidance] = "medium", *, concept: Concept | str = DEFAULT_CONCEPT) -> Guarded:
    """A guarded pipeline around ``pipe``, which itself stays as it is.

    Args:
        pipe: a pipeline of diffusers with classifier-free guidance (``docs/hosts.md`` lists them).
        policy: a preset's name (weak, medium, strong, max), an ``SLD`` with settings of your own, ``NegativePrompt()``, or a sequence
            with one of the first two for each image of a call. The warm-up of a preset named here is in steps on Stable Diffusion's
            schedule, as published, and the same noise level on rectified flow.
        concept: what must not appear, in words; default: the paper's 20 terms.

    Raises:
        UnsupportedError: the pipeline cannot be guarded.
        BadValueError: the policy or the concept makes no sense.
    """
    family = family_of(pipe)
    check_distilled(pipe, family)
    concept = Concept.parse(concept)
    check_concept(pipe, concept, _default_length(pipe))
    return Guarded(pipe=pipe, family=family, guidance=_guidance(policy, flow=is_flow(pipe.scheduler)), concept=concept)


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
        check_call(self.family, arguments)
        check_concept(self.pipe, self.concept, arguments.get("max_sequence_length"))
        concept = encode_concept(self.pipe, self.family, self.concept, arguments)
        hook = GuidanceHook(self.pipe, self.family, self.guidance, concept, arguments[self.family.scale], see)
        with attached(getattr(self.pipe, self.family.denoiser), hook):
            output = self.pipe(**arguments)
        receipts = hook.finish().receipts(str(self.concept), hook.steps)
        return output, receipts


def _guidance(policy: object, *, flow: bool) -> Guidance:
    if isinstance(policy, str):
        return preset(policy).by_noise_level() if flow else preset(policy)
    if isinstance(policy, Guidance):
        return policy
    if isinstance(policy, Sequence):
        return PerRow([_guidance(one, flow=flow) for one in policy])
    raise BadValueError(f"the policy is {policy!r}; it must be a preset's name, an SLD, NegativePrompt(), or one of them for each image")


def _default_length(pipe: Any) -> int | None:
    """How many tokens the text encoders without a limit of their own read of a prompt."""
    parameter = inspect.signature(pipe.__call__).parameters.get("max_sequence_length")
    return None if parameter is None else parameter.default
