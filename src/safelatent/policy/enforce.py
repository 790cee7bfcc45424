"""A pipeline under a policy: prompt check, guidance, output check, and what follows a finding.

Every image is decided on by itself: the good ones of a batch are kept. A flagged one is drawn again
at the next level from the same noise, and from another seed once the level is *max*; after the
policy's retries it is blurred, replaced or refused. Nothing leaves without a reason.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from PIL import Image

from safelatent.concepts import Concept
from safelatent.detectors.protocol import Protocol, Sources, named_protocol
from safelatent.errors import BadValueError, SafelatentError, UnsupportedError, brief
from safelatent.guidance import SLD, PresetName
from safelatent.pipelines.classic.checks import bind_call
from safelatent.pipelines.guard import GuardedClassic
from safelatent.pipelines.guarded import refuse_sld
from safelatent.policy.decision import (
    MEANING,
    Attempt,
    Check,
    Outcome,
    PolicyError,
    PolicyReceipt,
    Reason,
)
from safelatent.policy.join import guidance, join, next_level, request_of
from safelatent.policy.output_check import blurred, finding, judge, replacement
from safelatent.policy.policy import Limits, Policy
from safelatent.policy.prompt_rules import PromptGate
from safelatent.policy.rows import Rows

OUTCOMES: dict[str, Outcome] = {"blur": "blurred", "replace": "replaced", "refuse": "refused"}


@dataclass(frozen=True, kw_only=True)
class PolicyOutput:
    """What a call under a policy returns.

    Attributes:
        images: PIL images, None where one was refused.
        receipts: what was decided, one per image.
    """

    images: list[Image.Image | None]
    receipts: list[PolicyReceipt]


class UnderPolicy(GuardedClassic):
    """A classic pipeline under a policy; made by ``guard(pipe, policy=...)``.

    Args:
        pipe: the pipeline itself.
        policy: the deployer's.
        safety, concept: what the calls ask for beyond it.

    Raises:
        BadValueError: the policy is not valid, or contradicts the request.
        UnsupportedError: a protocol's package is missing.
    """

    policy: Policy
    effective: Policy

    def __init__(
        self,
        *,
        pipe: Any,
        policy: Policy,
        safety: PresetName | SLD | None = None,
        concept: Concept | None = None,
    ) -> None:
        demanded = Policy.parse(policy.as_dict())
        request = request_of(safety, concept)
        effective = join(demanded, request)
        super().__init__(pipe=pipe, safety=guidance(effective), concept=effective.concept)
        sources = Sources(vectors=effective.output.vectors)
        protocols = [
            named_protocol(name, sources if name.startswith("i2p") else None)
            for name in effective.output.protocols
        ]
        vars(self).update(
            policy=demanded,
            request=request,
            effective=effective,
            _protocols=protocols,
            _prompts=PromptGate.of(effective.prompt),
        )

    @brief
    def __call__(self, *args: Any, **kwargs: Any) -> PolicyOutput:  # pyright: ignore[reportIncompatibleMethodOverride]  # decides on every image by itself
        """Call the pipeline with its own arguments, under the policy.

        Returns:
            The images that may leave, None for the others, and one ``PolicyReceipt`` per image.

        Raises:
            PolicyError: the call is beyond a limit. Nothing was drawn.
            BadValueError: an argument breaks a rule.
        """
        refuse_sld(kwargs)
        arguments = bind_call(self.pipe, args, kwargs)
        self._check_limits(arguments)
        if arguments.get("output_type", "pil") != "pil" or arguments.get("return_dict") is False:
            raise BadValueError(
                "under a policy every image is judged and has a receipt: leave output_type and"
                " return_dict at their defaults"
            )
        return _Call(safe=self, rows=Rows.of(arguments)).decide()

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
        """Refuse: the policy is a file of its own.

        Raises:
            UnsupportedError: always, with the remedy.
        """
        raise UnsupportedError(
            "a policy is not saved with a pipeline; save safe.pipe, keep the policy's file beside"
            " it, and guard the loaded pipeline with policy=Policy.read(file)"
        )

    def _forwarded(self, method: Any) -> Any:
        call = super()._forwarded(method)

        def again(*args: Any, **kwargs: Any) -> Any:
            found = call(*args, **kwargs)
            return self._again(found.pipe) if type(found) is GuardedClassic else found

        return again

    def _again(self, pipe: Any) -> UnderPolicy:
        return UnderPolicy(pipe=pipe, policy=join(self.policy, self.effective))

    def _shown(self) -> list[tuple[str, str]]:
        name = self.policy.name or self.policy.hash[:12]
        return [("policy", repr(name)), *super()._shown()]

    def _check_limits(self, arguments: dict[str, Any]) -> None:
        """Refuse a call beyond a limit.

        Raises:
            PolicyError: naming the value and the limit.
        """
        limits: Limits = self.effective.limits
        steps = arguments.get("num_inference_steps")
        custom = [arguments[n] for n in ("timesteps", "sigmas") if arguments.get(n) is not None]
        steps = len(custom[0]) if custom else steps
        sides = [arguments[n] for n in ("height", "width") if arguments.get(n) is not None]
        images = Rows.count(arguments)
        for name, value, low, high in (
            ("steps", steps, limits.least_steps, limits.most_steps),
            ("side", max(sides, default=None), None, limits.most_side),
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


@dataclass(kw_only=True)
class _Image:
    """One image of a call on its way."""

    settings: SLD
    prompt_checks: tuple[Check, ...] = ()
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    image: Image.Image | None = None
    reason: Reason | None = None
    message: str = ""


@dataclass(kw_only=True)
class _Call:
    """The flow of one call."""

    safe: UnderPolicy
    rows: Rows

    def decide(self) -> PolicyOutput:
        started = time.monotonic()
        settings = guidance(self.safe.effective)
        images = [_Image(settings=settings) for _ in range(len(self.rows))]
        self._check_prompts(images)
        limits, output = self.safe.effective.limits, self.safe.effective.output
        for attempt in range(1 + (output.retries or 0)):
            pending = [b for b, one in enumerate(images) if one.image is None and not _ended(one)]
            if not pending:
                break
            if limits.most_seconds and time.monotonic() - started > limits.most_seconds:
                for b in pending:
                    images[b].reason = "out of time"
                    images[b].message = f"{limits.most_seconds:g} seconds were over"
                break
            if attempt:
                self._strengthen(images, pending)
            self._draw(images, pending)
        return self._output(images)

    def _check_prompts(self, images: list[_Image]) -> None:
        for b, image in enumerate(images):
            texts, image.prompt_checks, reason, message = self.safe._prompts.check(
                self.safe.pipe, self.rows.arguments(b)
            )
            self.rows.say(b, texts)
            if reason is not None:
                image.reason, image.message = reason, message

    def _strengthen(self, images: list[_Image], pending: Sequence[int]) -> None:
        for b in pending:
            stronger = next_level(images[b].settings)
            if stronger is None:
                self.rows.reseed(b)
            else:
                images[b].settings = stronger
            images[b].reason = None

    def _draw(self, images: list[_Image], pending: Sequence[int]) -> None:
        """Draw images, all in one call; one by one where the guard stops it, so that one image does
        not cost the others.
        """
        concept, pipe = self.safe.concept, self.safe.pipe
        levels = [images[b].settings for b in pending]
        seeds = [self.rows.seed(b) for b in pending]
        guarded = GuardedClassic(pipe=pipe, safety=tuple(levels), concept=concept)
        try:
            out = guarded(**self.rows.call(pending))
        except SafelatentError as error:
            if len(pending) > 1:
                for b in pending:
                    self._draw(images, [b])
                return
            image = images[pending[0]]
            image.attempts.append(Attempt(seed=seeds[0], receipt=None, message=str(error)))
            image.reason, image.message = "not guardable", str(error)
            return
        protocols: list[Protocol] = self.safe._protocols
        checks = judge(protocols, out.images)
        made = zip(pending, seeds, out.images, out.receipts, checks, strict=True)
        for b, seed, picture, receipt, seen in made:
            one = images[b]
            one.attempts.append(Attempt(seed=seed, receipt=receipt, checks=seen))
            one.reason = finding(seen)
            one.message = "" if one.reason is None else _seen(seen)
            one.image = picture if one.reason is None else None
            if one.reason == "output refused":
                self._last[b] = picture

    def __post_init__(self) -> None:
        self._last: dict[int, Image.Image] = {}

    def _output(self, images: Sequence[_Image]) -> PolicyOutput:
        action = OUTCOMES[self.safe.effective.output.finding or "refuse"]
        pictures: list[Image.Image | None] = []
        receipts: list[PolicyReceipt] = []
        for b, one in enumerate(images):
            reason: Reason = one.reason or "passed"
            outcome: Outcome = "released" if one.image is not None else "refused"
            picture, message = one.image, MEANING[reason]
            if one.message:
                message = f"{message}: {one.message}"
            if picture is None and b in self._last and reason == "output refused":
                outcome = action
                if action == "blurred":
                    picture = blurred(self._last[b])
                elif action == "replaced":
                    picture = replacement(self._last[b].size, MEANING[reason])
            pictures.append(picture)
            receipts.append(self._receipt(one, outcome, reason, message))
        return PolicyOutput(images=pictures, receipts=receipts)

    def _receipt(
        self, one: _Image, outcome: Outcome, reason: Reason, message: str
    ) -> PolicyReceipt:
        def told(policy: Policy) -> dict[str, Any]:
            return policy.as_dict() | {"hash": policy.hash}

        return PolicyReceipt(
            outcome=outcome,
            reason=reason,
            message=message,
            policy={"name": self.safe.policy.name, "hash": self.safe.policy.hash},
            request=told(self.safe.request),
            effective=told(self.safe.effective),
            prompt_checks=one.prompt_checks,
            attempts=tuple(one.attempts),
        )


def _ended(one: _Image) -> bool:
    """Whether drawing it again could not help."""
    return one.reason in ("prompt refused", "over limit", "out of time", "checker failed")


def _seen(checks: Sequence[Check]) -> str:
    """The checks that an image did not pass."""
    return "; ".join(
        f"{one.name} {one.label}" + ("" if one.score is None else f" ({one.score:.2f})")
        for one in checks
        if one.label != "safe"
    )
