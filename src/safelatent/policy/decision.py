"""What became of one image of a call under a policy, and why: the reason codes, all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from textwrap import shorten
from typing import Any, Literal

from safelatent.errors import GuardError
from safelatent.guidance.receipt import Receipt
from safelatent.text import html_table, visible

Outcome = Literal["released", "blurred", "replaced", "refused"]
Reason = Literal[
    "passed",
    "prompt refused",
    "output refused",
    "checker failed",
    "not guardable",
    "over limit",
    "out of time",
]
MEANING: dict[Reason, str] = {
    "passed": "every check of the policy was passed",
    "prompt refused": "the prompt check refused the prompt; nothing was drawn",
    "output refused": "the image was flagged at every attempt, or could not be judged",
    "checker failed": "a check gave no answer, so the gate stayed closed",
    "not guardable": "the guard could not act on the image, or drawing it failed",
    "over limit": "the call asked for more than the policy allows; nothing was drawn",
    "out of time": "the policy's time was over before an image passed",
}


class PolicyError(GuardError):
    """A call breaks a policy; nothing was drawn.

    Attributes:
        reason: the code.
        receipt: what was decided of every image of the call, with the hashes of policy, request
            and what held; None outside of a call.
    """

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.receipt: PolicyReceipt | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of a prompt or an image.

    Attributes:
        name: of the check: ``prompt``, ``classifier``, ``protocol: detector``, a protocol that
            failed as a whole, or ``safety checker``, the pipeline's own.
        label: ``safe``, ``inappropriate``, ``unusable`` or ``error``.
        score, threshold: of the check; None where there is none.
        message: why there is no answer, and which frame of a video it is about.
    """

    name: str
    label: str
    score: float | None = None
    threshold: float | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One drawing of an image.

    Attributes:
        seed: of its noise; None where no seed alone draws it again: the call gave the latents, or
            a generator that was used before.
        receipt: what the guard did; None where it stopped the call.
        reason: why it was not released, or ``passed``.
        checks: of the image.
        message: the reason in words, as the guard or the checks gave it.
    """

    seed: int | None
    receipt: Receipt | None
    reason: Reason
    checks: tuple[Check, ...] = ()
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class PolicyReceipt:
    """One for each image of a call under a policy.

    Attributes:
        outcome: what left the call.
        reason: why, one of ``Reason``.
        message: the reason in words.
        policy: name and hash of the deployer's policy.
        request: what the call asked for, and its hash.
        effective: what held, and its hash.
        prompt_checks: of the prompt, before anything was drawn.
        attempts: all drawings of the image; the last one is what the outcome is about.
    """

    outcome: Outcome
    reason: Reason
    message: str
    policy: Mapping[str, Any]
    request: Mapping[str, Any]
    effective: Mapping[str, Any]
    prompt_checks: tuple[Check, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @property
    def receipt(self) -> Receipt | None:
        """What the guard did for the image that left; None if nothing was drawn."""
        return self.attempts[-1].receipt if self.attempts else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)  # copies: who changes them does not change the receipt

    @property
    def facts(self) -> dict[str, Any]:
        """What was decided, by the names in an image's published receipt.

        The seed is that of the last drawing. Messages are left out: what a classifier or a pipeline
        raises may quote the prompt, which the audit log conceals.
        """
        held = {"sha256": self.policy["hash"], "effective_sha256": self.effective["hash"]}
        if name := self.policy.get("name"):
            held["name"] = name
        checks = [_published("prompt", one) for one in self.prompt_checks]
        for n, attempt in enumerate(self.attempts, start=1):
            checks += [_published("output", one, attempt=n) for one in attempt.checks]
        found: dict[str, Any] = {
            "policy": held,
            "checks": checks,
            "decision": self.outcome,
            "reason": self.reason,
        }
        if self.attempts and self.attempts[-1].seed is not None:
            found["seed"] = self.attempts[-1].seed
        if len(self.attempts) > 1:
            found["retries"] = [
                {
                    "safety": one.receipt.safety if one.receipt else None,
                    "seed": one.seed,
                    "reason": one.reason,
                }
                for one in self.attempts[:-1]
            ]
        return found

    def __str__(self) -> str:
        """A few lines for people."""
        return "\n".join(f"{name}: {shorten(visible(text), 100)}" for name, text in self._shown())

    def _repr_html_(self) -> str:
        return html_table(dict(self._shown()))

    def _shown(self) -> list[tuple[str, str]]:
        seen = [*self.prompt_checks, *(self.attempts[-1].checks if self.attempts else ())]
        checks = ", ".join(f"{one.name} {one.label}" for one in seen)
        tried = f"{len(self.attempts)} drawn" if self.attempts else "nothing drawn"
        guided = [("guard", str(self.receipt).splitlines()[0])] if self.receipt else []
        return [
            (self.outcome, f"{self.message} ({tried})"),
            ("policy", str(self.policy.get("name") or self.policy["hash"][:12])),
            *([("checks", checks)] if checks else []),
            *guided,
        ]


def _published(stage: str, check: Check, **numbers: int) -> dict[str, Any]:
    said = {name: value for name, value in vars(check).items() if name != "message"}
    return {"stage": stage} | numbers | said
