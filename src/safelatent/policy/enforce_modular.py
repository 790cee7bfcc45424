"""A modular pipeline under a policy: the same flow, with the pipeline's inputs as arguments, for
images and for videos, of which every frame is judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safelatent.concepts import Concept
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.guidance import EXACT, SLD, Adaptive
from safelatent.guidance.concept_itself import given_negatives
from safelatent.pipelines.modular import GuardedBlocks, GuardedModular
from safelatent.pipelines.modular.checks import text_encoder_of
from safelatent.policy.call import Drawn
from safelatent.policy.decision import PolicyError
from safelatent.policy.enforce import UnderPolicy

MADE = ("images", "videos")


class ModularUnderPolicy(UnderPolicy, GuardedModular):
    """A modular pipeline of images or videos under a policy.

    Raises:
        UnsupportedError: it ends with neither, or rewrites prompts after they were checked.
    """

    def __init__(self, *, pipe: Any, **settings: Any) -> None:
        super().__init__(pipe=pipe, **settings)
        blocks, name = pipe._blocks, type(pipe).__name__
        if not self._made:
            raise UnsupportedError(
                f"under a policy every image is judged, and this {name} makes none; "
                "guard it without a policy, or give a pipeline that ends with images or videos"
            )
        encoder = text_encoder_of(name, blocks)
        for key, block in blocks.sub_blocks.items():
            if key == encoder:
                break
            if "prompt" in block.intermediate_output_names:
                raise UnsupportedError(
                    f"the block {key!r} of this {name} rewrites the prompt after the policy's"
                    f" check; take it out: blocks.sub_blocks.pop({key!r})"
                )

    @property
    def _made(self) -> str:
        """What the pipeline ends with; nothing, if it is neither."""
        outputs = {one.name for one in self.pipe._blocks.intermediate_outputs}
        return next((name for name in MADE if name in outputs), "")

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if given := [n for n in ("state", "output") if kwargs.get(n) is not None]:
            raise BadValueError(
                f"under a policy a modular pipeline is called with its inputs alone; leave out"
                f" {given[0]}: the answer has images and receipts"
            )
        if args:
            raise BadValueError(
                "under a policy a modular pipeline is called with its inputs by name alone"
            )
        blocks = GuardedBlocks(self.pipe._blocks, self.safety, self.concept, self.plan)
        self._check_names(blocks, kwargs)
        if given := given_negatives(kwargs):
            raise PolicyError(
                f"the call gives {given[0]}, against which the guard of a modular pipeline would"
                " be taken, and act less; leave it out",
                "not guardable",
            )
        given = {name: value for name, value in kwargs.items() if value is not None}
        return self._defaults() | given

    def _defaults(self) -> dict[str, Any]:
        defaults = {one.name: one.default for one in self.pipe._blocks.inputs if one.name}
        return defaults | {"output_type": "pil"}  # videos are arrays otherwise

    def _drawn(
        self, settings: SLD | Adaptive, concept: Concept, arguments: Mapping[str, Any]
    ) -> Sequence[Drawn]:
        guarded = GuardedModular(pipe=self.pipe, safety=settings, concept=concept, plan=EXACT)
        said = {name: _single(value) for name, value in arguments.items() if value is not None}
        out = guarded(**said, output=[self._made, "receipts"])
        return [
            Drawn(picture=picture, receipt=receipt)
            for picture, receipt in zip(out[self._made], out["receipts"], strict=True)
        ]


def _single(value: Any) -> Any:
    """Return the one text of a list: not every family takes lists (Flux.3)."""
    one_text = isinstance(value, list) and len(value) == 1 and isinstance(value[0], str)
    return value[0] if one_text else value
