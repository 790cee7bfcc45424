from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safelatent.guidance import SLD, Estimates, NoiseLevel, Plan
from safelatent.guidance.evaluations import (
    EITHER,
    OFF,
    OVERDUE,
    REUSED,
    CallPlan,
    Directions,
    Look,
)
from tests.syncs import syncs

BOTH = Look(uncond="evaluated", concept="evaluated")
UNCOND = Look(uncond="evaluated", concept="unused")


def of(u: float | None, p: float, s: float | None) -> Estimates:
    one = lambda x: None if x is None else torch.full((1, 1, 2, 2), float(x))  # noqa: E731
    return Estimates(uncond=one(u), prompt=one(p), concept=one(s))


def test_directions_by_hand():
    """At the new latents the prompt is 10: the unconditional is 2 below it, the concept 3 above."""
    held = Directions().after(of(1, 3, 4), BOTH)
    found = held.complete(of(None, 10, None), REUSED)
    assert (float(found.uncond.mean()), float(found.concept.mean())) == (8.0, 11.0)
    fresh = held.complete(of(5, 10, None), REUSED)
    assert (float(fresh.uncond.mean()), float(fresh.concept.mean())) == (5.0, 8.0)


def test_what_was_evaluated_stays():
    held, given = Directions().after(of(1, 3, 4), BOTH), of(0, 1, 2)
    found = held.complete(given, REUSED)
    assert torch.equal(found.uncond, given.uncond)
    assert torch.equal(found.concept, given.concept)


def test_what_is_unused_is_not_made_up():
    found = Directions().after(of(1, 3, 4), BOTH).complete(of(None, 10, None), OFF)
    assert (found.uncond, found.concept) == (None, None)


def test_the_concepts_direction_outlives_evaluations_without_it():
    held = Directions().after(of(1, 3, 4), BOTH).after(of(2, 5, None), UNCOND)
    held = held.after(of(None, 6, None), OFF)
    assert (float(held.prompt.value.mean()), float(held.concept.value.mean())) == (3.0, 3.0)


def rows(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float)[:, None, None, None].expand(-1, 1, 2, 2)


def test_one_evaluation_serves_both_by_hand():
    """Of two images the first one's evaluation is the unconditional one, the other's the
    concept's.
    """
    held = Directions(serves_both=True).after(
        Estimates(uncond=rows(1, 1), prompt=rows(3, 3), concept=rows(2, 6)), BOTH
    )
    concept_next = held.concept_next()
    assert concept_next.tolist() == [False, True], "the longer direction first"
    given = Estimates(uncond=None, prompt=rows(10, 10), either=rows(6, 20))
    assert list(given.named()) == ["prompt", "either"], "two evaluations"
    found = held.complete(given, EITHER, concept_next)
    assert found.uncond.mean(dim=(1, 2, 3)).tolist() == [6.0, 8.0]
    assert found.concept.mean(dim=(1, 2, 3)).tolist() == [9.0, 20.0]
    assert found.either is None
    after = held.after(found, EITHER, concept_next)
    assert after.prompt.value.mean(dim=(1, 2, 3)).tolist() == [4.0, 2.0]
    assert after.concept.value.mean(dim=(1, 2, 3)).tolist() == [-1.0, 10.0]
    # moved by 2 in 4 elements, which is a norm of 4, and by 7; the others keep their length
    assert after.prompt.turn.tolist() == [4.0, 4.0]
    assert after.concept.turn.tolist() == [2.0, 14.0]
    assert (after.prompt.age.tolist(), after.concept.age.tolist()) == ([0, 1], [1, 0])
    assert after.concept_next().tolist() == [False, True]


@settings(max_examples=10)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_neither_is_left_out_for_long_and_no_image_depends_on_its_neighbours(seed, images):
    noise = torch.Generator().manual_seed(seed)

    def drawn() -> dict[str, torch.Tensor]:
        scale = torch.rand((images, 1, 1, 1), generator=noise)
        return {
            name: scale * torch.randn((images, 2, 2, 2), generator=noise)
            for name in ("uncond", "prompt", "concept")
        }

    def choices(steps: list[dict[str, torch.Tensor]], part: slice) -> list[list[bool]]:
        steps = [{name: one[part] for name, one in step.items()} for step in steps]
        held, found = Directions(serves_both=True).after(Estimates(**steps[0]), BOTH), []
        for step in steps[1:]:
            with syncs() as counted:
                concept_next = held.concept_next()
                wide = concept_next[:, None, None, None]
                either = torch.where(wide, step["concept"], step["uncond"])
                own = Estimates(uncond=None, prompt=step["prompt"], either=either)
                held = held.after(held.complete(own, EITHER, concept_next), EITHER, concept_next)
            assert counted == [], "nothing is read from the device"
            found.append(concept_next.tolist())
        return found

    steps = [drawn() for _ in range(9)]
    together = choices(steps, slice(None))
    for b in range(images):
        own = [row[b] for row in together]
        assert [[one] for one in own] == choices(steps, slice(b, b + 1))
        for n in range(len(own) - OVERDUE + 1):
            assert len(set(own[n : n + OVERDUE])) == 2


def test_a_plan_that_serves_both_is_printed():
    plan = Plan(either=2).on(SLD(warmup=0), [1 - k / 6 for k in range(6)])
    assert str(plan).splitlines()[0] == "unconditional +=/=/="
    assert plan.evaluations == 10
    assert plan.reuses


def test_what_was_never_evaluated_cannot_be_chosen():
    with pytest.raises(AssertionError):
        Directions().concept_next()


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
