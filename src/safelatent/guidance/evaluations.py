"""Where the predictions of a call come from: evaluated, reused or unused, look by look.

At every look at a step the prompt's prediction ``e_p`` is evaluated. What is reused is a direction
of an earlier look, which turns slowly, at the latents of the step:

    e_S ~ e_u + (e_S - e_u)  of the last evaluation of the concept
    e_u ~ e_p - (e_p - e_u)  of the last evaluation of the unconditional one

Knows predictions; does not know models, and not which evaluations are worth their price.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from safelatent.guidance.estimates import Estimates

Source = Literal["evaluated", "reused", "unused"]
_SIGNS: dict[Source, str] = {"evaluated": "+", "reused": "=", "unused": "."}


@dataclass(frozen=True, kw_only=True)
class Look:
    """Where the predictions of one look at a step come from; the prompt's is always evaluated.

    Attributes:
        uncond: the unconditional one.
        concept: that of the concept, or of the chosen one of several.
        choices: how many concepts are evaluated, where one is chosen anew; else 0.
        empty: that of the true empty prompt, where a negative one has its place.
    """

    uncond: Source
    concept: Source
    choices: int = 0
    empty: Source = "unused"

    @property
    def guided(self) -> bool:
        """Whether there is any guidance: a look without it is the prompt's prediction alone."""
        return (self.uncond, self.concept) != ("unused", "unused")

    @property
    def evaluations(self) -> int:
        """Passes of the denoiser, per image."""
        concepts = self.choices or (self.concept == "evaluated")
        return 1 + concepts + (self.uncond, self.empty).count("evaluated")


@dataclass(frozen=True, kw_only=True)
class Directions:
    """Directions of the last evaluations, (B, C, H, W); None before the first.

    Attributes:
        prompt: ``e_p - e_u``.
        concept: ``e_S - e_u``.
    """

    prompt: Tensor | None = None
    concept: Tensor | None = None

    def complete(self, estimates: Estimates, look: Look) -> Estimates:
        """Return the estimates with those that ``look`` reuses; what was evaluated stays."""
        e_u, e_p, e_S = estimates.uncond, estimates.prompt, estimates.concept
        if e_u is None and look.uncond == "reused" and self.prompt is not None:
            e_u = e_p - self.prompt
        if (
            e_S is None
            and look.concept == "reused"
            and self.concept is not None
            and e_u is not None
        ):
            e_S = e_u + self.concept
        return replace(estimates, uncond=e_u, concept=e_S)

    def after(self, evaluated: Estimates) -> Directions:
        """Return the directions to reuse from now on."""
        e_u, e_p, e_S = evaluated.uncond, evaluated.prompt, evaluated.concept
        if e_u is None:
            return self
        return Directions(prompt=e_p - e_u, concept=self.concept if e_S is None else e_S - e_u)


@dataclass(frozen=True)
class CallPlan:
    """A plan for the looks of one call, in their order.

    Printed, it is a line per prediction and a sign per look: ``+`` evaluated, ``=`` reused, ``.``
    unused.
    """

    looks: tuple[Look, ...]

    @property
    def evaluations(self) -> int:
        """Passes of the denoiser in all, per image."""
        return sum(look.evaluations for look in self.looks)

    @property
    def reuses(self) -> bool:
        """Whether any prediction is reused."""
        return any("reused" in (look.uncond, look.concept) for look in self.looks)

    def __str__(self) -> str:
        lines: dict[str, list[Source]] = {
            "unconditional": [look.uncond for look in self.looks],
            "prompt": ["evaluated"] * len(self.looks),
            "concept": [look.concept for look in self.looks],
        }
        if any(look.empty != "unused" for look in self.looks):
            lines["empty prompt"] = [look.empty for look in self.looks]
        rows = [
            f"{name:13s} {''.join(_SIGNS[source] for source in row)}" for name, row in lines.items()
        ]
        if any(look.choices for look in self.looks):
            rows.append(f"{'chosen':13s} {''.join('+.'[not look.choices] for look in self.looks)}")
        return "\n".join([*rows, f"{'evaluations':13s} {self.evaluations}"])


OFF = Look(uncond="unused", concept="unused")  # the prompt's prediction alone
