"""Where the predictions of a call come from: evaluated, reused or unused, look by look.

At every look at a step the prompt's prediction ``e_p`` is evaluated. What is reused is a direction
of an earlier look, which turns slowly, at the latents of the step:

    e_S ~ e_u + (e_S - e_u)  of the last evaluation of the concept
    e_u ~ e_p - (e_p - e_u)  of the last evaluation of the unconditional one

Where one evaluation serves both, it is spent, for each image, on the prediction whose direction is
expected to be further off: how far it turned up to its last evaluation, times how old it is. That
is decided on the device, and no step waits for it.

Knows predictions; does not know models, and not which evaluations are worth their price.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from safelatent.guidance.estimates import Estimates, norms, per_row

Source = Literal["evaluated", "either", "reused", "unused"]
OVERDUE = 4  # evaluations that can serve both, of which each prediction gets one at least
_SIGNS: dict[Source, str] = {"evaluated": "+", "either": "/", "reused": "=", "unused": "."}


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
        others = (self.uncond, self.empty)
        return 1 + concepts + others.count("evaluated") + others.count("either")


@dataclass(frozen=True, kw_only=True)
class Direction:
    """A difference of two predictions, as last evaluated.

    Attributes:
        value: (B, C, H, W).
        turn: (B,), how far it moved between its last two evaluations (Euclidean norm), over those
            that were due; after the first, its own length.
        age: (B,), evaluations since its last that could have been its.
    """

    value: Tensor
    turn: Tensor
    age: Tensor

    @classmethod
    def first(cls, value: Tensor) -> Direction:
        """Return the direction after its first evaluation."""
        turn = norms(value)
        return cls(value=value, turn=turn, age=torch.zeros_like(turn))

    def after(self, value: Tensor, evaluated: Tensor) -> Direction:
        """Return the direction after an evaluation, which was its in these rows, (B,)."""
        turn = norms(value - self.value) / (self.age + 1)
        return Direction(
            value=torch.where(per_row(evaluated, value), value, self.value),
            turn=torch.where(evaluated, turn, self.turn),
            age=torch.where(evaluated, 0, self.age + 1),
        )

    @property
    def expected(self) -> Tensor:
        """How far off it is expected to be at the next evaluation, (B,), if that is not its."""
        return self.turn * (self.age + 1)


@dataclass(frozen=True, kw_only=True)
class Directions:
    """Directions of the last evaluations; None before the first.

    Attributes:
        prompt: ``e_p - e_u``.
        concept: ``e_S - e_u``, or ``e_S - e_p`` where one evaluation serves both: ``e_u`` is then
            reused wherever ``e_S`` is evaluated, and how old it is must not get into the direction.
        serves_both: whether it does.
    """

    prompt: Direction | None = None
    concept: Direction | None = None
    serves_both: bool = False

    def concept_next(self) -> Tensor:
        """Return for which rows an evaluation that serves both is the concept's, (B,) bool.

        At the latest the ``OVERDUE``th such evaluation is that of the other.
        """
        assert self.prompt is not None  # a plan evaluates both first
        assert self.concept is not None
        further = self.concept.expected > self.prompt.expected
        overdue = [one.age + 1 >= OVERDUE for one in (self.concept, self.prompt)]
        return overdue[0] | further & ~overdue[1]

    def complete(
        self, estimates: Estimates, look: Look, concept_next: Tensor | None = None
    ) -> Estimates:
        """Return the estimates with those that ``look`` reuses; what was evaluated stays.

        Args:
            concept_next: for which rows ``estimates.either`` is the concept's, (B,) bool.
        """
        e_u, e_p, e_S = estimates.uncond, estimates.prompt, estimates.concept
        either, rows = estimates.either, None
        if either is not None and concept_next is not None:
            rows = per_row(concept_next, either)
        if e_u is None and look.uncond in ("reused", "either") and self.prompt is not None:
            e_u = e_p - self.prompt.value
            e_u = e_u if rows is None or either is None else torch.where(rows, e_u, either)
        if (
            e_S is None
            and look.concept in ("reused", "either")
            and self.concept is not None
            and e_u is not None
        ):
            e_S = (e_p if self.serves_both else e_u) + self.concept.value
            e_S = e_S if rows is None or either is None else torch.where(rows, either, e_S)
        return replace(estimates, uncond=e_u, concept=e_S, either=None)

    def after(
        self, estimates: Estimates, look: Look, concept_next: Tensor | None = None
    ) -> Directions:
        """Return the directions to reuse from now on.

        Args:
            estimates: complete.
            look: what of them was evaluated.
            concept_next: see ``complete``.
        """
        e_u, e_p, e_S = estimates.uncond, estimates.prompt, estimates.concept
        found = self
        if e_u is not None and (rows := _rows(look.uncond, e_p, concept_next, False)) is not None:
            found = replace(found, prompt=_after(self.prompt, e_p - e_u, rows))
        if e_u is None or e_S is None:
            return found
        if (rows := _rows(look.concept, e_p, concept_next, True)) is not None:
            base = e_p if self.serves_both else e_u
            found = replace(found, concept=_after(self.concept, e_S - base, rows))
        return found


def _after(direction: Direction | None, value: Tensor, rows: Tensor) -> Direction:
    return Direction.first(value) if direction is None else direction.after(value, rows)


def _rows(source: Source, like: Tensor, concept_next: Tensor | None, own: bool) -> Tensor | None:
    """Return for which rows a prediction was evaluated; None where it was for none."""
    if source == "either" and concept_next is not None:
        return concept_next == own
    if source == "evaluated":
        return torch.ones(len(like), dtype=torch.bool, device=like.device)
    return None


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
        return any({"reused", "either"} & {look.uncond, look.concept} for look in self.looks)

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
EITHER = Look(uncond="either", concept="either")  # one evaluation serves both
REUSED = Look(uncond="reused", concept="reused")
