"""What a step moves, and what of it survives, against diffusers' schedulers and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler

from safelatent.guidance.rounding import LEAST_CHANGE, following_levels, step_share, survives
from safelatent.pipelines.schedule import Schedule

SCHEDULERS = [
    DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False),
    DDIMScheduler(clip_sample=False, prediction_type="v_prediction"),
    EulerDiscreteScheduler(prediction_type="v_prediction"),
    EulerDiscreteScheduler(),
    FlowMatchEulerDiscreteScheduler(shift=3.0),
]


@pytest.mark.parametrize("k", [0, 3, 8])
@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda s: type(s).__name__)
def test_the_share_is_what_a_scheduler_moves_its_latents_by(scheduler, k):
    scheduler.set_timesteps(10)
    schedule = Schedule(scheduler, float(scheduler.timesteps[0]), 10)
    share = step_share(schedule.level(k), schedule.level(k + 1), schedule.unit(k))
    x, noise = torch.randn(2, 1, 4, 8, 8, dtype=torch.float64)
    moved = []
    for change in (0.0, 1.0):
        scheduler._step_index = None
        if isinstance(scheduler, EulerDiscreteScheduler):
            scheduler.scale_model_input(x, scheduler.timesteps[k])
        out = scheduler.step(noise + change, scheduler.timesteps[k], x)
        moved.append(out.prev_sample)
    alpha, sigma = schedule.mixture(k + 1)
    size = math.hypot(alpha, sigma)
    if isinstance(scheduler, EulerDiscreteScheduler):  # its latents are not scaled to unit variance
        size = 1 / alpha
    by = float((moved[1] - moved[0]).abs().mean()) / size
    assert by == pytest.approx(share, rel=1e-3)


@pytest.mark.parametrize("unit", [0.0, 1e-9])
def test_at_pure_noise_a_velocity_moves_as_just_below_it(unit):
    below = step_share(1 - 1e-9, 0.9, 1e-9)
    assert step_share(1.0 if unit == 0 else 1 - 1e-9, 0.9, unit) == pytest.approx(below, rel=1e-6)


def test_a_step_that_is_taken_twice_leads_to_where_the_second_does():
    assert following_levels([0.9, 0.6, 0.6, 0.2]) == [0.6, 0.2, 0.2, 0.0]
    assert following_levels([]) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_survives_is_a_matter_of_rows_and_precision(dtype):
    old = torch.zeros(3, 4, 2, 2, dtype=dtype)
    new, unit = old.clone(), torch.finfo(dtype).eps
    new[0, 0, 0, 0] = 2 * LEAST_CHANGE * unit  # in one place
    new[1] = 2 * LEAST_CHANGE * unit / 16  # in every one
    new[2] = LEAST_CHANGE * unit / 16  # too little
    assert survives(new, old, 0.5).tolist() == [True, True, False]
    new[0] = math.nan
    assert survives(new, old, 0.5).tolist() == [False, True, False]


def test_where_the_latents_stay_as_they_are_nothing_survives():
    """A step in half precision that adds less than half a unit in the last place."""
    x = torch.ones(1, 1, 2, 2, dtype=torch.bfloat16)
    plain, guided = torch.full_like(x, 1e-3), torch.full_like(x, 2e-3)
    assert not torch.equal(plain, guided)
    assert torch.equal(x - 0.1 * plain, x - 0.1 * guided)
    assert not survives(guided, plain, 0.1).any()
