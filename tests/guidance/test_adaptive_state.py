from __future__ import annotations

from dataclasses import replace

import torch

from safelatent.guidance import Adaptive
from safelatent.guidance.adaptive_state import AdaptiveState, empty_estimate, following

SHAPE = (2, 4, 3, 3)


def test_the_near_ones_take_turns_in_their_order():
    near = torch.tensor([[1, 0], [0, 1], [1, 0], [1, 0]]).bool()  # (N, B)
    due, seen = torch.tensor([2, 1]), []
    for _ in range(4):
        due = following(near, due)
        seen.append(due.tolist())
    assert seen == [[3, 1], [0, 1], [2, 1], [3, 1]]


def test_the_empty_prompt_is_the_unconditional_one_evaluated_or_reused():
    e_u, e_0, later = (torch.randn(SHAPE) for _ in range(3))
    state = AdaptiveState(nu=torch.zeros(SHAPE))
    assert empty_estimate(e_u, None, state) == (e_u, state)
    found, after = empty_estimate(e_u, e_0, state)
    assert found is e_0
    reused, _ = empty_estimate(later, None, after)
    torch.testing.assert_close(reused, later - (e_u - e_0))


def test_a_further_look_has_the_momentum_of_the_start_and_the_choice_of_the_first():
    start = AdaptiveState(nu=torch.zeros(SHAPE), share=torch.zeros(2))
    first = AdaptiveState(nu=torch.ones(SHAPE), share=torch.ones(2), nearest=torch.tensor([1, 0]))
    found = Adaptive().again(start, first)
    assert found == replace(first, nu=start.nu)
    assert found.nu is start.nu


def test_other_texts_get_all_of_the_guidance_until_they_are_chosen_for():
    before = AdaptiveState(nu=torch.ones(SHAPE), share=torch.ones(2), nearest=torch.tensor([1, 0]))
    found = Adaptive().anew(before)
    assert found.share is None
    assert found.nearest is before.nearest
    assert found.nu is before.nu
