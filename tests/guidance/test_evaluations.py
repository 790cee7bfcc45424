from __future__ import annotations

import torch

from safelatent.guidance import SLD, Estimates, NoiseLevel, Plan
from safelatent.guidance.evaluations import OFF, CallPlan, Directions, Look

REUSED = Look(uncond="reused", concept="reused")


def of(u: float | None, p: float, s: float | None) -> Estimates:
    one = lambda x: None if x is None else torch.full((1, 1, 2, 2), float(x))  # noqa: E731
    return Estimates(uncond=one(u), prompt=one(p), concept=one(s))


def test_directions_by_hand():
    """At the new latents the prompt is 10: the unconditional is 2 below it, the concept 3 above."""
    held = Directions().after(of(1, 3, 4))
    found = held.complete(of(None, 10, None), REUSED)
    assert (float(found.uncond.mean()), float(found.concept.mean())) == (8.0, 11.0)
    fresh = held.complete(of(5, 10, None), REUSED)
    assert (float(fresh.uncond.mean()), float(fresh.concept.mean())) == (5.0, 8.0)


def test_what_was_evaluated_stays():
    held, given = Directions().after(of(1, 3, 4)), of(0, 1, 2)
    found = held.complete(given, REUSED)
    assert torch.equal(found.uncond, given.uncond)
    assert torch.equal(found.concept, given.concept)


def test_what_is_unused_is_not_made_up():
    found = Directions().after(of(1, 3, 4)).complete(of(None, 10, None), OFF)
    assert (found.uncond, found.concept) == (None, None)


def test_the_concepts_direction_outlives_evaluations_without_it():
    held = Directions().after(of(1, 3, 4)).after(of(2, 5, None)).after(of(None, 6, None))
    assert (float(held.prompt.mean()), float(held.concept.mean())) == (3.0, 3.0)


def test_a_plan_is_printed_look_by_look():
    levels = [1 - k / 10 for k in range(10)]
    plan = Plan(concept=3, until=NoiseLevel(0.4)).on(SLD(warmup=2, momentum=0), levels)
    assert str(plan).splitlines() == [
        "unconditional ++++++....",
        "prompt        ++++++++++",
        "concept       ..+==+....",
        "evaluations   18",
    ]
    assert plan.evaluations == 18
    assert plan.reuses
    assert hash(plan) == hash(CallPlan(tuple(plan.looks)))
    assert not CallPlan((OFF,)).reuses
