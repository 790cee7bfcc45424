"""One call under a policy: prompt check, guidance, output check, and what follows a finding.

Every image, or video, is decided on by itself: the good ones of a batch are kept. A flagged one is
drawn again at the next level from the same noise, and from another seed once the level is *max*;
after the policy's retries it is blurred, replaced or refused. Nothing leaves without a reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from safelatent.concepts import Concept
from safelatent.detectors.protocol import Protocol
from safelatent.errors import SafelatentError
from safelatent.guidance import SLD, Adaptive
from safelatent.guidance.receipt import Receipt
from safelatent.policy.decision import (
    MEANING,
    Attempt,
    Check,
    Outcome,
    PolicyReceipt,
    Reason,
)
from safelatent.policy.demands import concept_beside, demanded, next_level
from safelatent.policy.output_check import Picture, changed, finding, judge
from safelatent.policy.policy import Policy
from safelatent.policy.prompt_rules import PromptGate
from safelatent.policy.rows import Rows
from safelatent.text import one_line


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A guarded image or video, what the guard did for it, and what the pipeline itself found."""

    picture: Picture
    receipt: Receipt
    checks: tuple[Check, ...] = ()


# Draws guarded images with these settings, away from this concept, by a call's arguments.
Draw = Callable[[SLD | Adaptive, Concept, Mapping[str, Any]], Sequence[Drawn]]
OUTCOMES: dict[str, Outcome] = {"blur": "blurred", "replace": "replaced", "refuse": "refused"}


@dataclass(frozen=True, kw_only=True)
class PolicyOutput:
    """What a call under a policy returns.

    Attributes:
        images: PIL images, or lists of a video's frames; None where one was refused.
        receipts: what was decided, one per image.
    """

    images: list[Any]
    receipts: list[PolicyReceipt]


@dataclass(kw_only=True)
class _Image:
    """One image of a call on its way."""

    settings: SLD | Adaptive
    prompt_checks: tuple[Check, ...] = ()
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    image: Picture | None = None
    flagged: Picture | None = None
    reason: Reason | None = None
    message: str = ""


@dataclass(kw_only=True)
class PolicyCall:
    """The flow of one call.

    Attributes:
        pipe: the pipeline itself, whose text encoder reads the prompts.
        draw: the pipeline, guarded, as it is called.
        effective: what holds, policy and request joined.
        prompts, protocols: its checks, loaded.
        rows: the call's arguments.
        said: ``policy``, ``request`` and ``effective``, as the receipts have them.
    """

    pipe: Any
    draw: Draw
    effective: Policy
    prompts: PromptGate
    protocols: Sequence[Protocol]
    rows: Rows
    said: Mapping[str, Mapping[str, Any]]

    def decide(self) -> PolicyOutput:
        """Draw and decide."""
        started = time.monotonic()
        settings = demanded(self.effective)
        images = [_Image(settings=settings) for _ in range(len(self.rows))]
        self._check_prompts(images)
        limits, output = self.effective.limits, self.effective.output
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
        fault = self.prompts.fault(self.pipe, self.rows.arguments(0))
        for b, image in enumerate(images):
            texts, image.prompt_checks, reason, message = self.prompts.check(
                self.pipe, self.rows.arguments(b), fault
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
        """Draw images, all in one call; one by one where it is stopped, so that one image does not
        cost the others. An error that is not ours is raised while there are none to lose.
        """
        settings = images[pending[0]].settings  # of all: what is drawn again, was so each time
        seeds = [self.rows.seed(b) for b in pending]
        concept = concept_beside(settings, self.effective)
        try:
            drawn = self.draw(settings, concept, self.rows.call(pending))
        except Exception as error:
            if not isinstance(error, SafelatentError) and not any(one.attempts for one in images):
                raise
            if len(pending) > 1:
                for b in pending:
                    self._draw(images, [b])
                return
            image = images[pending[0]]
            image.flagged = None  # what an earlier attempt drew is not what the receipt is about
            image.reason, image.message = "not guardable", one_line(error)
            image.attempts.append(
                Attempt(seed=seeds[0], receipt=None, reason=image.reason, message=image.message)
            )
            return
        pictures = [one.picture for one in drawn]
        checks = judge(self.protocols, pictures, self.effective.limits.most_seconds)
        for b, seed, made, judged in zip(pending, seeds, drawn, checks, strict=True):
            one, seen = images[b], made.checks + judged
            one.reason = finding(seen)
            one.message = "" if one.reason is None else _seen(seen)
            one.attempts.append(
                Attempt(
                    seed=seed,
                    receipt=made.receipt,
                    reason=one.reason or "passed",
                    checks=seen,
                    message=one.message,
                )
            )
            one.image = made.picture if one.reason is None else None
            one.flagged = made.picture if one.reason == "output refused" else None

    def _output(self, images: Sequence[_Image]) -> PolicyOutput:
        action = OUTCOMES[self.effective.output.finding or "refuse"]
        pictures: list[Picture | None] = []
        receipts: list[PolicyReceipt] = []
        for one in images:
            reason: Reason = one.reason or "passed"
            outcome: Outcome = "released" if one.image is not None else "refused"
            picture, message = one.image, MEANING[reason]
            if one.message:
                message = f"{message}: {one.message}"
            if one.flagged is not None:
                outcome = action
                if action != "refused":
                    picture = changed(one.flagged, action, MEANING[reason])
            pictures.append(picture)
            receipts.append(
                PolicyReceipt(
                    outcome=outcome,
                    reason=reason,
                    message=message,
                    **deepcopy(dict(self.said)),  # each has its own, which others may change
                    prompt_checks=one.prompt_checks,
                    attempts=tuple(one.attempts),
                )
            )
        return PolicyOutput(images=pictures, receipts=receipts)


def _ended(one: _Image) -> bool:
    """Whether drawing it again could not help."""
    return one.reason in ("prompt refused", "checker failed")


def _seen(checks: Sequence[Check]) -> str:
    """The checks that an image did not pass."""
    return "; ".join(
        f"{one.name} {one.label}"
        + ("" if one.score is None else f" ({one.score:.2f})")
        + (f", {one.message}" if one.message else "")
        for one in checks
        if one.label != "safe"
    )
