"""Every scheduler that diffusers exports: measured, or refused."""

from __future__ import annotations

import copy
import warnings
from functools import cache
from typing import Any

import diffusers
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    PNDMScheduler,
    SchedulerMixin,
)

from safelatent import guard
from safelatent.errors import GuardError, UnsupportedError
from safelatent.pipelines.schedule import (
    _NOISE,
    Noise,
    Schedule,
    clean_latents,
    is_flow,
    noise_of,
    prediction_of,
)
from tests import tiny
from tests.pipelines.every_pipeline import CASES as CASES_BY_PIPELINE

# KDPM2's arithmetic with numpy, and schedulers that diffusers will drop.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array_wrap__:DeprecationWarning",
    "ignore::FutureWarning",
    "ignore:Should have ta:UserWarning",  # torchsde, of rounding
)
STEPS = 8
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
V = {"prediction_type": "v_prediction"}
LIVE = [  # those that this machine can make: two need a package that is not installed
    name
    for name in dir(diffusers)
    if name.endswith("Scheduler")
    and "dummy" not in getattr(diffusers, name).__module__
    and name != "SchedulerMixin"
]
KNOWN = [name for name in LIVE if name in _NOISE]
# Each noise schedule and prediction of the known schedulers, where they have that setting.
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "v": V,
    "zero terminal SNR": {"rescale_betas_zero_snr": True, **V},
    "Karras": {"use_karras_sigmas": True, **V},
    "exponential": {"use_exponential_sigmas": True, **V},
    "beta": {"use_beta_sigmas": True, **V},
    "Lu": {"use_lu_lambdas": True, **V},
    "continuous": {"timestep_type": "continuous", "use_karras_sigmas": True, **V},
    "sigma_max": {"sigma_min": 0.02, "sigma_max": 200.0, "use_karras_sigmas": True, **V},
    "flow": FLOW,
    "noise in a flow": {**FLOW, "prediction_type": "epsilon"},
    "trailing": {"timestep_spacing": "trailing", **V},
    "Runge-Kutta": {"skip_prk_steps": False, **V},
    "first order": {"solver_order": 1, **V},
    "stochastic": {"stochastic_sampling": True},
    "EDM exponential": {"sigma_schedule": "exponential"},
}
RANDOM = ("Ancestral", "SDE", "DDPM", "LCM", "TCD", "SASolver")


def made(name: str, title: str) -> Any:
    """A scheduler of its own for each test, or None where it lacks one of the settings."""
    return copy.deepcopy(_made(name, title))


@cache
def _made(name: str, title: str) -> Any:
    settings = SETTINGS[title]
    kind = getattr(diffusers, name)
    has = kind.__init__.__wrapped__.__code__.co_varnames
    if not settings.keys() <= set(has):
        return None
    stable = {key: value for key, value in SD.items() if key in has}
    if name in ("DDIMScheduler", "DDIMParallelScheduler", "DDPMScheduler", "DDPMParallelScheduler"):
        stable |= {"clip_sample": False}
    try:
        with warnings.catch_warnings():  # numpy's and diffusers' own deprecations
            warnings.simplefilter("ignore")
            return kind(**(stable | settings))
    except (ValueError, NotImplementedError):
        return None


CASES = [(name, title) for name in KNOWN for title in SETTINGS if _made(name, title) is not None]


def begun(scheduler: Any, steps: int = 10, skipped: int = 0) -> Schedule:
    scheduler.set_timesteps(steps)
    left = len(scheduler.timesteps) - skipped
    return Schedule(scheduler, float(scheduler.timesteps[skipped]), left)


def noised(scheduler: Any, clean: torch.Tensor, noise: torch.Tensor, at: int) -> torch.Tensor:
    """By the scheduler's own ``add_noise``."""
    t = scheduler.timesteps[at : at + 1]
    of_flow = scheduler.config.get("use_flow_sigmas")  # SASolver's add_noise does not heed it
    if hasattr(scheduler, "add_noise") and not of_flow:
        return scheduler.add_noise(clean, noise, t)
    if hasattr(scheduler, "scale_noise"):
        return scheduler.scale_noise(clean, t, noise)
    sigma = scheduler.sigmas[at]
    return (1 - sigma) * clean + sigma * noise


def image_and_noise() -> tuple[torch.Tensor, torch.Tensor]:
    """Of deviation 1, without correlation, so that each can be measured in a mixture."""
    clean, noise = torch.randn(2, 1, 4, 48, 48, dtype=torch.float64)
    clean /= clean.square().mean().sqrt()
    noise -= (noise * clean).mean() * clean
    return clean, noise / noise.square().mean().sqrt()


def output(schedule: Schedule, k: int, clean: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """What a model that knows the image would predict, by the schedule's mixture."""
    alpha, sigma = schedule.mixture(k)
    if schedule.noise is Noise.EDM:
        clean = clean / schedule.scheduler.config.sigma_data
    eps = (x - alpha * clean) / sigma
    if schedule.prediction == "flow_prediction":
        return eps - clean
    velocity = alpha * eps - sigma * clean
    if schedule.noise is Noise.EDM:
        return velocity if schedule.prediction == "v_prediction" else -velocity
    return velocity if schedule.prediction == "v_prediction" else eps


def leaves_the_line(name: str, title: str, begin: int) -> bool:
    """Some solvers do so by themselves, after the first evaluation: LMS midway weighs as many
    derivatives as if it had begun at the start, and PNDM averages velocities of different steps, or
    takes its second step for the repetition that only a whole call has.
    """
    whole = begin == 0
    return (name == "LMSDiscreteScheduler" and not whole) or (
        name == "PNDMScheduler" and not (whole and title == "default")
    )


@pytest.mark.parametrize("begin", [0, 2], ids=["whole", "midway"])
@pytest.mark.parametrize(("name", "title"), CASES)
def test_mixture_and_unit_are_those_of_what_the_denoiser_gets(name, title, begin):
    """A model that knows the image is sampled with the scheduler itself. Were ``alpha`` or
    ``sigma`` of any evaluation not the scheduler's, it would predict something else, and the
    latents would leave the line between image and noise, on which both are measured.
    """
    torch.manual_seed(0)
    scheduler = made(name, title)
    scheduler.set_timesteps(STEPS)
    at = begin * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(at)
    clean, noise = image_and_noise()
    x = noised(scheduler, clean, noise, at)
    timesteps = scheduler.timesteps[at:]
    random = title == "stochastic" or any(part in name for part in RANDOM)
    schedule, bound = None, 0.03 if random else 2e-3
    for k, t in enumerate(timesteps[: 1 if leaves_the_line(name, title, begin) else None]):
        seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        schedule = schedule or Schedule(scheduler, float(t), len(timesteps))
        assert schedule.timestep(k) == float(t)
        alpha, sigma = schedule.mixture(k)
        in_data = scheduler.config.sigma_data if schedule.noise is Noise.EDM else 1.0
        of_image = float((seen * clean).mean())
        of_noise = float((seen - of_image * clean).square().mean().sqrt())
        assert of_image == pytest.approx(alpha / in_data, abs=bound), k
        assert of_noise == pytest.approx(sigma, abs=bound), k
        predicted = output(schedule, k, clean, seen)
        if alpha > 1e-3:  # at zero signal-to-noise ratio there is no image to find
            found = clean_latents(scheduler, schedule.mixture(k), seen, predicted)
            torch.testing.assert_close(found, clean, atol=1e-3, rtol=1e-3)
        difference = output(schedule, k, noise, seen) - predicted  # as if it saw another image
        of_eps = -alpha / sigma * (noise - clean) / in_data
        torch.testing.assert_close(schedule.unit(k) * difference, of_eps, atol=1e-6, rtol=1e-6)
        x = scheduler.step(predicted.float(), t, x.float(), return_dict=False)[0].double()


@cache
def case_of(name: str) -> tuple[Any, Any]:
    """The case of a pipeline of diffusers, and its pipeline, made once."""
    case = next(case for case in CASES_BY_PIPELINE if case.name == name)
    return case, case.pipeline()


def guarded_call(name: str, strength: float | None) -> tuple[list[float], list[float]]:
    """The timesteps of the records, and those that the denoiser got, each once per evaluation."""
    flow = _NOISE[name] is Noise.FLOW
    family = "StableDiffusion3" if flow else "StableDiffusion"
    case, pipe = case_of(f"{family}{'' if strength is None else 'Img2Img'}Pipeline")
    seen, records = [], []
    pipe.scheduler = made(name, "default" if flow else "v" if (name, "v") in CASES else "default")
    denoiser = pipe.transformer if flow else pipe.unet

    def note(_module: Any, args: Any, kwargs: Any) -> None:
        given = kwargs["timestep"] if "timestep" in kwargs else args[1]
        seen.append(float(torch.as_tensor(given).flatten()[0]))

    handle = denoiser.register_forward_pre_hook(note, with_kwargs=True)
    changes = {} if strength is None else {"strength": strength}
    guard(pipe, "max").watch(records.append, **(case.arguments() | changes))
    handle.remove()
    return [record.timestep for record in records], seen


@pytest.mark.parametrize(
    ("name", "strength"),
    [
        (name, strength)
        for name in KNOWN
        for strength in (None, 0.9, 0.5)
        if strength is None or not name.startswith("LTX")  # it cannot noise an image
    ],
)
def test_every_evaluation_is_at_the_timestep_that_the_denoiser_gets(name, strength):
    """Some schedulers have timesteps twice, and image-to-image begins midway."""
    recorded, seen = guarded_call(name, strength)
    assert recorded == seen


@pytest.mark.parametrize("name", [name for name in LIVE if name not in KNOWN])
def test_every_other_scheduler_is_refused(name):
    needs = {
        "VQDiffusionScheduler": {"num_vec_classes": 5},
        "AmusedScheduler": {"mask_token_id": 3},
        "RFD4ProteinaScheduler": {
            "schedule_mode": "log",
            "noise_mode": "1/t",
            "tsr_k": 1.0,
            "tsr_sigma": 1.0,
        },
    }
    scheduler = getattr(diffusers, name)(**needs.get(name, {}))
    for ask in (noise_of, is_flow, prediction_of):
        with pytest.raises(UnsupportedError, match=f"^{name} keeps its noise in a way[^\n]*$"):
            ask(scheduler)


def test_there_is_no_scheduler_beyond_those():
    missing = {"CosineDPMSolverMultistepScheduler", "DPMSolverSDEScheduler"} - set(LIVE)
    known = set(LIVE) | missing | {"DPMSolverSDEScheduler"}
    assert set(_NOISE) <= known | {"LTXEulerAncestralRFScheduler", "FlowMatchLCMScheduler"}
    assert len(KNOWN) >= 22


@pytest.mark.parametrize(
    ("scheduler", "reason"),
    [
        (tiny.scheduler(prediction_type="sample"), "prediction_type 'sample'"),
        (
            DPMSolverMultistepScheduler(prediction_type="flow_prediction"),
            "prediction_type 'flow_prediction'",
        ),
        (FlowMatchEulerDiscreteScheduler(invert_sigmas=True), "runs from image to noise"),
    ],
    ids=str,
)
def test_settings_under_which_the_noise_is_not_known_are_refused(scheduler, reason):
    for ask in (is_flow, begun):
        with pytest.raises(UnsupportedError, match=reason):
            ask(scheduler)


class Renamed(EulerDiscreteScheduler):
    """A subclass that keeps the step."""


class Rewritten(EulerDiscreteScheduler):
    """A subclass whose step may be anything."""

    def step(self, *args: Any, **kwargs: Any) -> Any:
        return super().step(*args, **kwargs)


def test_a_subclass_is_known_by_its_step():
    assert noise_of(Renamed()) is Noise.SIGMAS
    with pytest.raises(UnsupportedError, match="Rewritten keeps its noise"):
        noise_of(Rewritten())


@pytest.mark.parametrize("make", [tiny.scheduler, FlowMatchEulerDiscreteScheduler])
def test_a_call_that_begins_in_the_middle(make):
    """As image-to-image does."""
    whole, late = begun(make()), begun(make(), skipped=4)
    assert [late.timestep(k) for k in range(6)] == [whole.timestep(k) for k in range(4, 10)]
    assert late.levels(6, 1) == whole.levels(10, 1)[4:]


def test_two_equal_timesteps_are_told_apart_by_the_evaluations_that_follow():
    scheduler = PNDMScheduler(skip_prk_steps=True, steps_offset=1, **SD)
    scheduler.set_timesteps(10)
    timesteps = scheduler.timesteps.tolist()
    assert timesteps[1] == timesteps[2]
    for begin in (1, 2):
        schedule = Schedule(scheduler, timesteps[begin], 11 - begin)
        assert [schedule.timestep(k) for k in range(11 - begin)] == timesteps[begin:]
    with pytest.raises(UnsupportedError, match=r"has the timestep \d+ more than once"):
        Schedule(scheduler, timesteps[1], 4)  # a call that begins midway and ends early


def test_a_call_that_would_run_off_the_end():
    """A sigma_max beyond the training range makes the first timesteps equal, of which the scheduler
    takes the second; without the guard such a call fails on an index.
    """
    scheduler = made("EulerDiscreteScheduler", "sigma_max")
    with pytest.raises(UnsupportedError, match="position 1 of its 8 timesteps, of which 8 are"):
        begun(scheduler, STEPS)


def test_a_denoiser_that_gets_the_timestep_in_another_unit():
    """Flux divides by 1000; the call begins where the scheduler was set to, or at the start."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    for begin in (3, 0):
        scheduler.set_timesteps(10)
        if begin:
            scheduler.set_begin_index(begin)
        first = float(scheduler.timesteps[begin])
        assert Schedule(scheduler, first / 1000, 10 - begin).timestep(0) == first


def test_a_second_order_solver_evaluates_twice_per_step():
    scheduler = FlowMatchHeunDiscreteScheduler()
    schedule = begun(scheduler, 6)
    levels = schedule.levels(len(scheduler.timesteps), 2)
    assert len(levels) == 6
    assert torch.equal(torch.tensor(levels), torch.unique(scheduler.sigmas).flip(0)[:6])


def test_a_scheduler_that_is_set_anew_in_the_middle_of_a_call():
    scheduler = tiny.scheduler()
    schedule = begun(scheduler)
    assert schedule.unit(3) == 1.0
    scheduler.set_timesteps(10)
    with pytest.raises(GuardError, match="another call of this pipeline began"):
        schedule.unit(4)


def test_rectified_flow_is_told_by_the_schedule():
    assert is_flow(FlowMatchEulerDiscreteScheduler())
    assert is_flow(DPMSolverMultistepScheduler(**FLOW))
    assert not is_flow(tiny.scheduler())
    assert not is_flow(EDMEulerScheduler())
    assert issubclass(FlowMatchEulerDiscreteScheduler, SchedulerMixin)
