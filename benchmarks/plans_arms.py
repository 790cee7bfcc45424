"""The ways to sample that plans are measured against: plain guidance under a plan, and the concept
early or late.

None of them is in the package: the first has no guard, and of the others one lets the prompt's
guidance run on without the concept's, which a plan cannot say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from benchmarks.trial import OFF
from safelatent import DEFAULT_CONCEPT, guard
from safelatent.guidance import EXACT, SLD, Estimates, NoiseLevel, Plan
from safelatent.guidance.estimates import Correction, changed
from safelatent.guidance.plan import EARLIEST_END
from safelatent.pipelines.classic.checks import bind_call
from safelatent.pipelines.classic.encoding import encoded_concepts
from safelatent.pipelines.classic.families import family_of
from safelatent.pipelines.classic.hook import GuidanceHook
from safelatent.pipelines.denoiser import attached
from safelatent.pipelines.encoded import EncodedConcepts

HALF = NoiseLevel(EARLIEST_END)
EARLY, BOTH_OFF, LATE = "concept early, then off", str(Plan(until=HALF)), "concept off, then on"

PLAIN = "plain: "


class Unguarded(SLD):
    """Nothing: classifier-free guidance as it is."""

    def needs_concept(self, i: int) -> bool:
        return False


class EarlyThenOff(SLD):
    """The concept's guidance to the middle of the paper's runs; the prompt's to the end."""

    def on(self, levels: Sequence[float]) -> SLD:
        own = replace(super().on(levels))
        object.__setattr__(own, "end", HALF.steps(levels))
        return own

    def needs_concept(self, i: int) -> bool:
        return i < vars(self)["end"] and super().needs_concept(i)

    def correct(
        self, estimates: Estimates, state: torch.Tensor, i: int, unit: float = 1.0
    ) -> tuple[Correction, torch.Tensor]:
        if self.needs_concept(i) or estimates.uncond is None:
            return super().correct(estimates, state, i, unit)
        e_u, e_p = estimates.uncond, estimates.prompt
        none = torch.zeros_like(e_p)
        return Correction(
            uncond=e_u, prompt=e_p, acts=changed(e_p, e_p), gamma=none, gate=none
        ), state


class Plain:
    """Plain classifier-free guidance that follows a plan: the same trick without a guard."""

    def __init__(self, pipe: Any, plan: Plan) -> None:
        self.pipe, self.plan, self.encoded = pipe, plan, EncodedConcepts()

    def __call__(self, **given: Any) -> Any:
        family, arguments = family_of(self.pipe), bind_call(self.pipe, (), given)
        texts = encoded_concepts(self.encoded, self.pipe, family, [DEFAULT_CONCEPT], arguments)
        nothing = Unguarded(warmup=0, momentum=0)
        hook = GuidanceHook(self.pipe, family, nothing, texts, arguments, self.plan)
        with attached(getattr(self.pipe, family.denoiser), hook):
            output = self.pipe(**arguments)
        hook.settle()
        output["receipts"] = [None] * len(output.images)
        return output


def without_concept(plan: Plan) -> Plan:
    """Return what of a plan is left where there is no concept."""
    return replace(plan, concept=1)


def same_trick(name: str) -> str | None:
    """Return the name of plain guidance under an arm's plan; None where the arm has no plan."""
    if name in (OFF, EARLY, LATE) or name.startswith(PLAIN):
        return None
    return f"{PLAIN}{without_concept(Plan.parse(name))}"


def arm(pipe: Any, safety: SLD, name: str) -> Callable[..., Any]:
    """Return the arm of that name: one of this module, ``plain: PLAN``, or a plan's text."""
    if name == EARLY:
        values = {field: getattr(safety, field) for field in safety.__dataclass_fields__}
        return guard(pipe, EarlyThenOff(**values))
    if name == LATE:
        return guard(pipe, replace(safety, warmup=HALF))
    if name.startswith(PLAIN):
        return Plain(pipe, Plan.parse(name.removeprefix(PLAIN)))
    return guard(pipe, safety, plan=Plan.parse(name))


def arms(pipe: Any, safety: SLD, names: Sequence[str]) -> Mapping[str, Callable[..., Any]]:
    """Return the arms by name, each once, ``exact`` first."""
    return {name: arm(pipe, safety, name) for name in dict.fromkeys([str(EXACT), *names])}
