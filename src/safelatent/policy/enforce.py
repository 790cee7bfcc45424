"""A pipeline under a policy: what ``guard(pipe, policy=...)`` returns.

The policy's flow is one for all pipelines; what differs is how a call's arguments are named and how
it is drawn.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NoReturn, Self

from safelatent.concepts import Concept
from safelatent.detectors.protocol import Protocol, named_protocol, sources_of
from safelatent.errors import UnsupportedError, brief
from safelatent.guidance import EXACT, SLD, Adaptive
from safelatent.pipelines.classic.checks import bind_call
from safelatent.pipelines.guard import GuardedClassic
from safelatent.pipelines.guarded import Guarded, refuse_sld
from safelatent.pipelines.size import largest_side
from safelatent.policy.arguments import checked, steps_of
from safelatent.policy.call import Drawn, PolicyCall, PolicyOutput
from safelatent.policy.decision import Check, PolicyError, PolicyReceipt
from safelatent.policy.demands import concept_beside, demanded, effective
from safelatent.policy.parts import Limits
from safelatent.policy.policy import Policy
from safelatent.policy.prompt_rules import PromptGate
from safelatent.policy.rows import Rows


class UnderPolicy(Guarded):
    """A pipeline under a policy; made by ``guard(pipe, policy=...)``.

    Args:
        pipe: the pipeline itself.
        policy: the deployer's.
        request: what the calls ask for beyond it.

    Raises:
        BadValueError: the policy is not valid, or contradicts the request.
        UnsupportedError: a protocol's package is missing.
    """

    policy: Policy
    request: Policy
    effective: Policy
    _gate: PromptGate
    _protocols: tuple[Protocol, ...]
    _said: Mapping[str, Mapping[str, Any]]

    def __init__(self, *, pipe: Any, policy: Policy, request: Policy) -> None:
        checked = Policy.parse(policy.as_dict())
        held = effective(checked, request)
        settings = demanded(held)
        super().__init__(
            pipe=pipe, safety=settings, concept=concept_beside(settings, held), plan=EXACT
        )
        protocols = tuple(
            named_protocol(name, sources_of(name, held.output.vectors))
            for name in held.output.protocols
        )
        vars(self).update(
            policy=checked,
            request=request,
            effective=held,
            _protocols=protocols,
            _gate=PromptGate.of(held.prompt, held.limits.most_seconds),
            _said={
                "policy": {"name": checked.name, "hash": checked.hash},
                "request": request.as_dict() | {"hash": request.hash},
                "effective": held.as_dict() | {"hash": held.hash},
            },
        )

    @brief
    def __call__(self, *args: Any, **kwargs: Any) -> PolicyOutput:  # pyright: ignore[reportIncompatibleMethodOverride]  # decides on every image by itself
        """Call the pipeline with its own arguments, under the policy.

        Returns:
            The images that may leave, None for the others, and one ``PolicyReceipt`` per image.

        Raises:
            PolicyError: the call is beyond a limit, or gives what a policy refuses. Nothing was
                drawn; its ``receipt`` says what held.
            BadValueError: an argument breaks a rule.
        """
        refuse_sld(kwargs)
        try:
            arguments = checked(self._bound(args, kwargs), self._defaults())
            self._check_limits(arguments)
        except PolicyError as error:
            error.receipt = PolicyReceipt(
                outcome="refused",
                reason=error.reason,
                message=str(error),
                **deepcopy(dict(self._said)),
                prompt_checks=(),
                attempts=(),
            )
            raise
        call = PolicyCall(
            pipe=self.pipe,
            draw=self._drawn,
            effective=self.effective,
            prompts=self._gate,
            protocols=self._protocols,
            rows=Rows.of(arguments),
            said=self._said,
        )
        return call.decide()

    @abstractmethod
    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return a call's arguments by name, defaults included.

        Raises:
            TypeError: an argument that the pipeline does not have.
        """
        ...

    @abstractmethod
    def _defaults(self) -> dict[str, Any]:
        """Return the arguments of a call that gives none."""
        ...

    @abstractmethod
    def _drawn(
        self, settings: SLD | Adaptive, concept: Concept, arguments: Mapping[str, Any]
    ) -> Sequence[Drawn]:
        """Return guarded images and what the guard did for each."""
        ...

    def watch(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: steps would be shown of images that may not leave.

        Raises:
            UnsupportedError: always, with the remedy.
        """
        raise UnsupportedError(
            "a pipeline under a policy cannot be watched, since the steps of a refused image would"
            " leave; watch guard(safe.pipe, ...) instead"
        )

    def save_pretrained(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: the policy is a separate file.

        Raises:
            UnsupportedError: always, with the remedy.
        """
        raise UnsupportedError(
            "a policy is not saved with a pipeline; save safe.pipe, keep the policy's file beside"
            " it, and guard the loaded pipeline with policy=Policy.read(file)"
        )

    def _around(self, pipe: Any) -> Self:
        """Return the pipeline under the same policy and request."""
        return type(self)(pipe=pipe, policy=self.policy, request=self.request)

    def _shown(self) -> list[tuple[str, str]]:
        name = self.policy.name or self.policy.hash[:12]
        return [("policy", repr(name)), *super()._shown()]

    def _check_limits(self, arguments: dict[str, Any]) -> None:
        """Refuse a call beyond a limit.

        Raises:
            PolicyError: naming the value and the limit.
        """
        limits: Limits = self.effective.limits
        asked, taken = steps_of(arguments)
        side = None if limits.most_side is None else largest_side(self.pipe, arguments)
        images = Rows.count(arguments)
        for name, value, low, high in (
            ("steps", asked, limits.least_steps, limits.most_steps),
            ("steps at its strength", taken, limits.least_steps, None),
            ("side", side, None, limits.most_side),
            ("images", images, None, limits.most_images),
        ):
            if value is None:
                continue
            if (low is not None and value < low) or (high is not None and value > high):
                allowed = " and ".join(
                    f"{word} {bound}"
                    for word, bound in (("at least", low), ("at most", high))
                    if bound is not None
                )
                raise PolicyError(
                    f"the call asks for {name} {value}; the policy allows {allowed}", "over limit"
                )


class ClassicUnderPolicy(UnderPolicy, GuardedClassic):
    """A classic pipeline under a policy."""

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        return bind_call(self.pipe, args, kwargs)

    def _defaults(self) -> dict[str, Any]:
        parameters = inspect.signature(self.pipe.__call__).parameters
        return {name: one.default for name, one in parameters.items()}

    def _drawn(
        self, settings: SLD | Adaptive, concept: Concept, arguments: Mapping[str, Any]
    ) -> Sequence[Drawn]:
        guarded = GuardedClassic(
            pipe=self.pipe, safety=settings, concept=concept, plan=EXACT, against_empty=True
        )
        out: Any = guarded(**arguments)
        blanked = getattr(out, "nsfw_content_detected", None)
        checks = [()] * len(out.images) if blanked is None else map(_blanked, blanked)
        return [
            Drawn(picture=picture, receipt=receipt, checks=own)
            for picture, receipt, own in zip(out.images, out.receipts, checks, strict=True)
        ]


def _blanked(flagged: bool) -> tuple[Check]:
    """What the pipeline's own safety checker found of an image; it makes what it flags black."""
    return (Check(name="safety checker", label="inappropriate" if flagged else "safe"),)
