"""The card of a deployment: what it suppresses, how strongly, and what was measured of it.

The demand of Schramowski et al. (CVPR 2023, section 8) that suppression be transparent. The card
speaks of guidance; a run does not measure the checks before and after it, and the card says so.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from safelatent.guidance import EXACT, SLD, Adaptive, preset_name
from safelatent.metrics import OVERALL
from safelatent.pipelines.safety import as_values
from safelatent.policy.demands import demanded, is_at_least
from safelatent.policy.parts import Targets
from safelatent.policy.policy import Policy
from safelatent.text import finite, visible_line


@dataclass(frozen=True, kw_only=True)
class MeasuredShare:
    """A measured share of inappropriate images with its 95 % interval.

    Attributes:
        images: that were judged.
        unjudged: share of those that were drawn and have no verdict.
    """

    share: float
    low: float
    high: float
    images: int
    unjudged: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a finished run says of one method.

    Attributes:
        run: its folder or name.
        model, method, concept, protocol, prompts: of the run.
        protocol_hash: of all that determines the verdicts.
        steps: per image.
        plan: which evaluations its guidance paid for.
        finished: whether every planned image is done.
        guarded, unguarded: by category and ``overall``; the second is empty if the run has no
            unguarded images.
    """

    run: str
    model: str
    method: str
    concept: str
    protocol: str
    protocol_hash: str
    prompts: str
    steps: int
    plan: str
    finished: bool
    guarded: Mapping[str, MeasuredShare]
    unguarded: Mapping[str, MeasuredShare]


@dataclass(frozen=True, kw_only=True)
class Card:
    """A policy and what was measured of its guidance.

    Attributes:
        policy, measured: both.
        over_refusal: what was refused of harmless prompts, by the name of the check: ``prompt
            check``, from its calibration, and ``output check``, from a run. Empty where nobody
            measured it.
    """

    policy: Policy
    measured: Measured
    over_refusal: Mapping[str, MeasuredShare] = field(default_factory=dict[str, MeasuredShare])

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """Where the run falls short of the policy and its targets, a sentence each."""
        return (*self._of_another(), *self._of_targets())

    def _of_another(self) -> Iterator[str]:
        """Where the run is not one of what the policy deploys."""
        run, limits = self.measured, self.policy.limits
        if run.concept != str(self.policy.concept):
            yield (
                f"the run was measured with the concept {run.concept!r}, the policy's is"
                f" {str(self.policy.concept)!r}; measure again with: safelatent bench run ..."
                f" --concept {shlex.quote(str(self.policy.concept))}"
            )
        asked = demanded(self.policy)
        level = preset_name(asked) if isinstance(asked, SLD) else None
        if level is not None and run.method != level:
            yield f"the run was measured with {run.method!r}, the policy's is {level!r}"
        elif level is None and not is_at_least(asked, run.method):
            yield (
                f"the run was measured with {run.method!r}, and the policy's own settings are not"
                " at least as strong in everything"
            )
        if run.plan != str(EXACT):
            yield f"the run was measured with the plan {run.plan!r}, and a policy pays for all"
        low, high = limits.least_steps or 1, limits.most_steps or math.inf
        if not low <= run.steps <= high:
            yield f"the run took {run.steps} steps per image, which the policy does not allow"
        if not run.finished:
            yield "the run is not finished"

    def _of_targets(self) -> Iterator[str]:
        """Where the run does not show what it must."""
        run, targets = self.measured, self.policy.targets
        overall = run.guarded[OVERALL]
        if targets.least_images is not None and overall.images < targets.least_images:
            yield f"{overall.images} images were judged, at least {targets.least_images} must be"
        if targets.most_unjudged is not None and not overall.unjudged <= targets.most_unjudged:
            yield (
                f"{overall.unjudged:.1%} of the images have no verdict, at most"
                f" {targets.most_unjudged:.1%} may"
            )
        if (least := targets.least_unguarded) is not None:
            without = run.unguarded.get(OVERALL)
            if without is None:
                yield "the run has no images without guidance"
            elif not without.low >= least:
                yield (
                    f"without guidance as few as {without.low:.1%} of the images are inappropriate,"
                    f" at least {least:.1%} must be: its prompts show little"
                )
        for name, most in {OVERALL: targets.most_inappropriate, **targets.categories}.items():
            if most is None:
                continue
            if name not in run.guarded:
                yield f"{name}: the run has no prompts of this category"
            elif not run.guarded[name].high <= most:
                yield (
                    f"{name}: up to {run.guarded[name].high:.1%} of the images are inappropriate,"
                    f" at most {most:.1%} may be"
                )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; a share of no images is None."""
        return {
            "policy": self.policy.as_dict() | {"hash": self.policy.hash},
            "concept": str(self.policy.concept),
            "guidance": as_values(demanded(self.policy)),
            "measured": finite(asdict(self.measured)),
            "over_refusal": {n: finite(asdict(one)) for n, one in self.over_refusal.items()},
            "shortfalls": list(self.shortfalls),
        }

    def __str__(self) -> str:
        """The card as text."""
        policy, run = self.policy, self.measured
        lines = [f"{name}: {text}" for name, text in self.said().items()]
        lines += ["", f"{'':18}{'unguarded':>26}{run.method:>26}"]
        for name in run.guarded:
            both = (run.unguarded.get(name), run.guarded[name])
            lines.append(f"{visible_line(name):18}" + "".join(f"{shown(one):>26}" for one in both))
        falls = self.shortfalls
        lines += ["", *(f"falls short: {line}" for line in falls)]
        if not falls and policy.targets != Targets():
            lines.append("meets the policy's targets")
        return "\n".join(lines)

    def said(self) -> dict[str, str]:
        """Return what the card says beside its table, by name, each on one line."""
        policy, run = self.policy, self.measured
        checks = [
            *(["prompts, in the text encoder"] if policy.prompt.calibration else []),
            *([f"prompts, by {policy.prompt.classifier}"] if policy.prompt.classifier else []),
            *(f"images, by {name}" for name in policy.output.protocols),
        ]
        said = {
            "policy": f"{policy.name or 'without a name'} ({policy.hash[:12]})",
            "suppresses": str(policy.concept),
            "guidance": strength(demanded(policy)),
            "checks": "; ".join(checks) or "none",
            "measured": (
                f"{run.method} on {run.model}, {run.prompts}, {run.steps} steps, run {run.run}"
            ),
            "protocol": f"{run.protocol} ({run.protocol_hash[:12]})",
            "over-refusal": "; ".join(
                f"{name} {shown(one)} of harmless prompts"
                for name, one in self.over_refusal.items()
            )
            or "not measured; add --over-refusal RUN, of a set of harmless prompts",
            "note": "the figures are of guidance alone, without the policy's checks and retries",
        }
        return {name: visible_line(text) for name, text in said.items()}


def strength(settings: SLD | Adaptive) -> str:
    """Return the settings in words, of each category where it has its own."""
    if isinstance(settings, Adaptive):
        return "; ".join(f"{one.name} {strength(one.strength)}" for one in settings.categories)
    numbers = {name: value for name, value in asdict(settings).items() if name != "warmup"}
    level = getattr(settings.warmup, "level", 1.0)
    said = ", ".join(f"{name} {value:g}" for name, value in numbers.items())
    return f"from noise level {level:.3f} on, {said}"


def shown(one: MeasuredShare | None) -> str:
    """Return a share as a cell: ``12.3 % [10.1, 14.8] n=300``."""
    if one is None or math.isnan(one.share):
        return "-"
    return f"{100 * one.share:.1f} % [{100 * one.low:.1f}, {100 * one.high:.1f}] n={one.images}"
