from __future__ import annotations

import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
)

from safelatent.errors import UnsupportedError
from safelatent.pipelines.schedule import Schedule, is_flow
from tests import tiny

FLOWS = [
    FlowMatchEulerDiscreteScheduler(shift=3.0),
    DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    ),
]


def begun(scheduler, steps: int = 10, skipped: int = 0) -> Schedule:
    scheduler.set_timesteps(steps)
    return Schedule(scheduler, float(scheduler.timesteps[skipped]))


@pytest.mark.parametrize("scheduler", FLOWS, ids=lambda s: type(s).__name__)
def test_rectified_flow(scheduler):
    schedule = begun(scheduler)
    sigmas = [float(sigma) for sigma in scheduler.sigmas[:10]]
    assert schedule.levels(10, 1) == sigmas
    assert [schedule.unit(k) for k in range(10)] == [1 - sigma for sigma in sigmas]
    assert sigmas == sorted(sigmas, reverse=True)


def test_noise_prediction_and_velocity():
    for kind, unit in (
        ("epsilon", lambda square: 1.0),
        ("v_prediction", lambda square: square**0.5),
    ):
        scheduler = tiny.scheduler(prediction_type=kind)
        schedule = begun(scheduler)
        for k, t in enumerate(scheduler.timesteps.tolist()):
            square = float(scheduler.alphas_cumprod[t])
            assert schedule.unit(k) == pytest.approx(unit(square))
            alpha, sigma = square**0.5, (1 - square) ** 0.5
            assert schedule.level(k) == pytest.approx(sigma / (alpha + sigma))


@pytest.mark.parametrize(
    "scheduler",
    [tiny.scheduler(), EulerDiscreteScheduler(), *FLOWS],
    ids=lambda s: type(s).__name__,
)
def test_a_call_that_begins_in_the_middle(scheduler):
    """As image-to-image does."""
    whole, late = begun(scheduler), begun(scheduler, skipped=4)
    assert [late.timestep(k) for k in range(6)] == [whole.timestep(k) for k in range(4, 10)]
    assert late.levels(6, 1) == whole.levels(10, 1)[4:]


def test_a_denoiser_that_gets_another_number_for_the_timestep():
    """Flux divides by 1000: the call's beginning is then what the scheduler was told."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(10)
    scheduler.set_begin_index(3)
    assert Schedule(scheduler, float(scheduler.timesteps[3]) / 1000).timestep(0) == float(
        scheduler.timesteps[3]
    )


def test_a_second_order_solver_evaluates_twice_a_step():
    scheduler = FlowMatchHeunDiscreteScheduler()
    schedule = begun(scheduler, 6)
    assert len(schedule.levels(len(scheduler.timesteps), 2)) == 6
    assert torch.equal(
        torch.tensor(schedule.levels(len(scheduler.timesteps), 2)),
        torch.unique(scheduler.sigmas).flip(0)[:6],
    )


def test_a_scheduler_that_tells_nothing_of_its_noise_is_refused():
    with pytest.raises(UnsupportedError, match="EDMEulerScheduler says nothing of the noise"):
        begun(EDMEulerScheduler())
    assert not is_flow(tiny.scheduler())
