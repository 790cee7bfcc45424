"""Calls whose evaluations follow a schedule: order, plans, and what is never read in a step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from safelatent.errors import GuardError, NotGuardedError
from safelatent.guidance import (
    MAX,
    MEDIUM,
    WEAK,
    Adaptive,
    Estimates,
    NegativePrompt,
    NoiseLevel,
    PerImage,
    Plan,
)
from safelatent.guidance.ordered_call import StepRecord
from tests.guidance.test_guided_call import SHAPE, Even, begin, estimates
from tests.syncs import syncs


def test_a_call_that_ends_early_or_late_is_refused():
    call = begin(MAX, 3)
    for k in range(2):
        call.correct(estimates(k), guidance_scale=7.5)
    with pytest.raises(NotGuardedError, match="saw 2 of"):
        call.finish("x")
    call.correct(estimates(2), guidance_scale=7.5)
    assert len(call.finish("x")) == 1
    with pytest.raises(GuardError, match="evaluation 4 of a call that has 3"):
        call.correct(estimates(3), guidance_scale=7.5)


@pytest.mark.parametrize(
    ("guidance", "plan"),
    [(MAX, Plan()), (MEDIUM, Plan()), (MAX, Plan(concept=2)), (NegativePrompt(), Plan())],
    ids=str,
)
def test_latents_of_another_size_in_the_middle_are_refused(guidance, plan):
    call, (channels, *sides) = begin(guidance, 20, plan=plan), SHAPE
    call.correct(needed(call, estimates(0)), guidance_scale=7.5)
    larger = torch.randn(1, channels, *(2 * side for side in sides))
    with pytest.raises(NotGuardedError, match=r"changed from 1 x .* to 1 x .*; leave their size"):
        call.correct(
            Estimates(uncond=larger, prompt=2 * larger, concept=3 * larger), guidance_scale=7.5
        )


def test_a_second_order_solver_counts_steps_and_moves_the_momentum_once():
    seen: list[StepRecord] = []
    call, state = begin(MAX, 4, order=2, watch=seen.append), MAX.init(torch.zeros(1, *SHAPE))
    for i in range(4):
        first, second = estimates(2 * i), estimates(2 * i + 1)
        looks = [call.correct(e, guidance_scale=7.5, latents=e.prompt) for e in (first, second)]
        expected, after = MAX.correct(first, state, i)
        assert torch.equal(looks[0].gamma, expected.gamma)
        assert torch.equal(looks[1].gamma, MAX.correct(second, state, i)[0].gamma)
        state = after
    assert [record.i for record in seen] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [record.timestep for record in seen] == [Even(8).timestep(k) for k in range(8)]
    receipt = call.finish("x")[0]
    assert (receipt.steps, receipt.guided_steps, receipt.evaluations) == (4, 4, 24)


def test_the_state_is_complete_from_the_start():
    call = begin(MEDIUM, 20)
    before = set(vars(call))
    for k in range(20):
        assert call.look.concept == "evaluated"
        call.correct(estimates(k), guidance_scale=7.5)
    call.finish("x")
    assert set(vars(call)) == before


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("after", [1, 2, 5])
@pytest.mark.parametrize("plan", [Plan(), Plan(concept=3, uncond=2)], ids=str)
def test_other_texts_are_chosen_for_anew(order, after, plan):
    """An image whose first text leads elsewhere gets all of the guidance when its text does not."""
    call, looks = begin(Adaptive(), 12, order=order, plan=plan), []
    for k in range(12 * order):
        if k == after:
            call.choose_anew()
        draw = torch.Generator().manual_seed(k)
        e_0, e_p, other = (torch.randn(1, *SHAPE, generator=draw) for _ in range(3))
        look = call.look
        looks.append(look.choices)
        plain = e_p if k < after else 2 * e_0 - e_p  # the neutral text's: there, or elsewhere
        concepts = (*[e_0 + 0.1 * torch.randn(1, *SHAPE, generator=draw) for _ in range(7)], plain)
        call.correct(
            Estimates(
                uncond=e_0 if look.uncond == "evaluated" else None,
                prompt=e_p,
                concept=other if look.concept == "evaluated" and not look.choices else None,
                concepts=concepts[: look.choices],
            ),
            guidance_scale=7.5,
        )
    assert looks[after] == 8  # the neutral text, too
    if order == 1:
        assert looks.count(8) == 2
    (receipt,) = call.finish("x")
    shares = [one["share"] for one in receipt.categories or ()]
    assert shares[0] == 0.2
    assert shares[-1] == 1
    assert "0.2 of the guidance at some steps" in str(receipt)


def test_one_concept_is_not_chosen_anew():
    call = begin(MAX, 3)
    for k in range(3):
        call.choose_anew()
        assert call.look.choices == 0
        call.correct(estimates(k), guidance_scale=7.5)


def needed(call, e: Estimates) -> Estimates:
    """What the plan asks for."""
    look = call.look
    return Estimates(
        uncond=e.uncond if look.uncond == "evaluated" else None,
        prompt=e.prompt,
        concept=e.concept if look.concept == "evaluated" else None,
    )


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("guidance", [WEAK, MEDIUM, MAX, PerImage([WEAK, MEDIUM])], ids=str)
def test_exact_leaves_out_nothing_that_matters(guidance, order):
    """The same corrections to the bit as where everything is evaluated at every look."""
    rows = guidance.rows or 1
    exact, everything = (begin(guidance, 32, rows, order) for _ in range(2))
    for k in range(exact.evaluations):
        e = estimates(k, rows)
        lazy = exact.correct(needed(exact, e), guidance_scale=7.5)
        eager = everything.correct(e, guidance_scale=7.5)
        for name in ("uncond", "prompt", "acts", "gamma", "gate"):
            assert torch.equal(getattr(lazy, name), getattr(eager, name)), (k, name)
    lazy, eager = exact.finish("x"), everything.finish("x")
    assert [replace(r, evaluations=0) for r in lazy] == [replace(r, evaluations=0) for r in eager]
    assert lazy[0].evaluations == exact.plan.evaluations <= eager[0].evaluations


def test_what_is_reused_is_what_was_evaluated_last():
    seen: list[StepRecord] = []
    call = begin(MEDIUM, 24, watch=seen.append, plan=Plan(concept=3, uncond=2))
    for k in range(24):
        e = estimates(k)
        call.correct(needed(call, e), guidance_scale=7.5, latents=e.prompt)
    state = MEDIUM.init(torch.zeros(1, *SHAPE))
    e_u = e_s = of_u = of_s = torch.empty(0)  # the first step evaluates both
    for k, look in enumerate(call.plan.looks):
        e = estimates(k)
        if look.uncond == "evaluated":
            of_u, e_u = e.prompt - e.uncond, e.uncond
        else:
            e_u = e.prompt - of_u
        if look.concept == "evaluated":
            of_s, e_s = e.concept - e.uncond, e.concept
        else:
            assert e_u is not None
            e_s = e_u + of_s
        expected, state = MEDIUM.correct(
            Estimates(uncond=e_u, prompt=e.prompt, concept=e_s), state, k
        )
        assert torch.equal(seen[k].correction.prompt, expected.prompt)
        assert torch.equal(seen[k].correction.uncond, expected.uncond)
    assert call.finish("x")[0].evaluations == call.plan.evaluations == 24 + 16 + 8


def test_where_guidance_ended_the_prompt_is_left_alone():
    """And such steps are in no mean of the receipt."""
    call, whole = begin(MAX, 20, plan=Plan(until=NoiseLevel(0.5))), begin(MAX, 20)
    for k in range(20):
        e = estimates(k)
        correction = call.correct(needed(call, e), guidance_scale=7.5)
        whole.correct(e, guidance_scale=7.5)
        if k >= 10:
            assert torch.equal(correction.prompt, e.prompt)
            assert torch.equal(correction.uncond, e.prompt)
            assert not correction.acts.any()
    receipt = call.finish("x")[0]
    assert (receipt.guided_steps, receipt.evaluations, receipt.steps) == (10, 40, 20)
    assert receipt.plan == "until=0.5"
    whole.finish("x")
    assert receipt.gate_open == pytest.approx(sum(whole.tally._gates[0][:10]) / 10)


def test_no_step_waits_for_the_device():
    call = begin(PerImage([WEAK, MAX]), 32, 2, plan=Plan(concept=4))
    made = [estimates(k, 2) for k in range(32)]
    with syncs() as counted:
        for e in made:
            call.correct(needed(call, e), guidance_scale=7.5)
    assert counted == []
    with syncs() as counted:
        call.finish("x")
    assert 0 < len(counted) <= 3
