from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.guidance import (
    MAX,
    MEDIUM,
    PRESETS,
    SLD,
    WEAK,
    Guidance,
    NegativePrompt,
    NoiseLevel,
    PerImage,
    noise_level,
    paper_noise_level,
)
from safelatent.guidance.estimates import Estimates
from safelatent.guidance.noise import ROUNDING, paper_steps, real_number, shown, whole_number

PAPER = [paper_noise_level(step) for step in range(50)]


def test_the_presets_levels_are_the_known_ones():
    """At equal signal-to-noise ratio, as measured for the paper's steps 7, 10 and 15 of 50."""
    assert [round(paper_noise_level(step), 3) for step in (7, 10, 15)] == [0.861, 0.824, 0.756]
    assert MAX.by_noise_level().warmup == NoiseLevel(1.0)


def test_the_papers_schedule_is_diffusers_own():
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    scheduler.set_timesteps(50)
    for step, t in enumerate(scheduler.timesteps.tolist()):
        square = float(scheduler.alphas_cumprod[t])
        assert paper_noise_level(step) == pytest.approx(
            noise_level(square**0.5, (1 - square) ** 0.5), abs=1e-5
        )


@pytest.mark.parametrize("name", PRESETS)
def test_on_the_papers_own_schedule_nothing_changes(name):
    assert PRESETS[name].by_noise_level().on(PAPER) == PRESETS[name]


@pytest.mark.parametrize(
    ("levels", "each"),
    [
        (PAPER, 1),
        (PAPER[25:], 1),  # an image-to-image call
        (torch.tensor(PAPER, dtype=torch.float32).tolist(), 1),
        (PAPER[::5], 5),
        (PAPER[:1], 1),
        ([1.0, 1.0, 1.0], 1),  # too alike to tell
        ([0.1, 0.9], 1),  # rising
    ],
)
def test_how_many_of_the_paper_s_steps_one_is(levels, each):
    assert paper_steps(levels) == each


def test_twenty_steps_of_a_multistep_solver_are_some_fifty_of_the_paper_s():
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
    )
    scheduler.set_timesteps(20)
    squares = [float(scheduler.alphas_cumprod[t]) for t in scheduler.timesteps.tolist()]
    levels = [noise_level(square**0.5, (1 - square) ** 0.5) for square in squares]
    assert paper_steps(levels) == pytest.approx(2.5, abs=0.1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0, 0.99))
def test_on_every_schedule_the_momentum_still_forgets(levels, decay):
    own = SLD(warmup=NoiseLevel(0.8), decay=decay).on(sorted(levels, reverse=True))
    assert 0 <= own.decay < 1
    assert own.decay == 0 or decay > 0


def test_over_the_same_noise_the_momentum_forgets_as_much():
    """One step over the noise of five is the five, where the estimates stay the same."""
    draw = [torch.Generator().manual_seed(seed) for seed in range(4)]
    u, p, c, nu = (torch.randn(2, 4, 3, 3, dtype=torch.float64, generator=g) for g in draw)
    given = SLD(warmup=NoiseLevel(1.0), momentum=0.0, decay=0.7)  # whose factor has no memory
    estimates = Estimates(uncond=u, prompt=p, concept=c)
    fine = coarse = nu
    for _ in range(5):
        _, fine = given.on(PAPER).correct(estimates, fine, 0)
    _, coarse = given.on(PAPER[::5]).correct(estimates, coarse, 0)
    torch.testing.assert_close(coarse, fine)
    assert (coarse - nu).abs().max() > 0.1


def shifted(steps: int, shift: float) -> list[float]:
    """Rectified flow's levels, with Stable Diffusion 3's shift."""
    sigmas = torch.linspace(1000, 1, steps, dtype=torch.float64) / 1000
    return (shift * sigmas / (1 + (shift - 1) * sigmas)).tolist()


def test_the_presets_on_rectified_flow():
    names = ("weak", "medium", "strong")
    assert [PRESETS[name].by_noise_level().on(shifted(28, 3.0)).warmup for name in names] == [
        14,
        11,
        9,
    ]
    # *strong* ends at 0.861054, and step 16 of these is at 0.861053: with levels rounded to three
    # places it would be 17.
    assert [PRESETS[name].by_noise_level().on(shifted(50, 3.0)).warmup for name in names] == [
        25,
        20,
        16,
    ]
    assert 0.861 < shifted(50, 3.0)[16] <= paper_noise_level(7)


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.01, 1))
def test_the_warm_up_is_the_steps_above_the_level(levels, level):
    falling = sorted(levels, reverse=True)
    assert NoiseLevel(level).steps(falling) == sum(one > level * (1 + ROUNDING) for one in falling)


@pytest.mark.parametrize("step", [7, 10, 15])
def test_rounding_lengthens_no_warm_up(step):
    levels = torch.tensor([paper_noise_level(i) for i in range(50)], dtype=torch.float32)
    assert NoiseLevel(paper_noise_level(step)).steps((levels * (1 + 2e-7)).tolist()) == step


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_level_is_that_of_the_same_signal_to_noise_ratio(alpha, sigma):
    level = noise_level(alpha, sigma)
    assert level / (1 - level) == pytest.approx(sigma / alpha)


@pytest.mark.parametrize("bad", [0, -0.1, 1.01, float("nan"), float("inf"), "0.8", None, True])
def test_a_level_that_is_none_is_refused(bad):
    with pytest.raises(BadValueError, match="the noise level is"):
        NoiseLevel(bad)


def test_a_step_that_the_paper_does_not_have_is_refused():
    with pytest.raises(BadValueError, match="step 50"):
        paper_noise_level(50)


def test_without_a_schedule_a_level_is_no_number_of_steps():
    sld = SLD(warmup=NoiseLevel(0.8))
    assert isinstance(sld, Guidance)
    with pytest.raises(BadValueError, match="only once a schedule is known"):
        sld.acts_from()
    with pytest.raises(BadValueError, match="only once a schedule is known"):
        SLD(warmup=NoiseLevel(0.8), momentum=0).needs_concept(3)


def test_every_guidance_has_one_for_a_run():
    levels = [0.9, 0.7, 0.5]
    assert WEAK.on(levels) is WEAK
    assert NegativePrompt().on(levels) == NegativePrompt()
    per_image = PerImage([MEDIUM, SLD(warmup=NoiseLevel(0.6))])
    own = SLD(warmup=2, decay=0.4 ** paper_steps(levels))
    assert per_image.on(levels) == PerImage([MEDIUM, own])
    by_level = SLD(warmup=NoiseLevel(0.6))
    assert by_level.by_noise_level() is by_level
    with pytest.raises(BadValueError, match="step 60 is not one of the paper's 50"):
        SLD(warmup=60).by_noise_level()


REAL = {
    "int": 3,
    "float": 3.0,
    "fraction": Fraction(6, 2),
    "decimal": Decimal("3.0"),
    "float16": np.float16(3),
    "float32": np.float32(3),
    "float64": np.float64(3),
    "int16": np.int16(3),
    "uint8": np.uint8(3),
    "array": np.array(3.0),
    "tensor": torch.tensor(3.0),
    "bfloat16 tensor": torch.tensor(3, dtype=torch.bfloat16),
    "long tensor": torch.tensor(3),
}
NOT_REAL = [
    True,
    np.bool_(True),
    torch.tensor(True),
    "3",
    None,
    3j,
    np.complex64(3),
    [3],
    torch.tensor([3.0]),
    np.array([3.0]),
    10**400,
    -(10**400),
    Decimal("sNaN"),
]


@pytest.mark.parametrize("kind", REAL)
def test_a_real_number_is_one_in_any_type(kind):
    number = real_number(REAL[kind])
    assert number == 3.0
    assert type(number) is float


@pytest.mark.parametrize("value", NOT_REAL, ids=lambda value: type(value).__name__)
def test_what_is_no_real_number_is_none(value):
    assert real_number(value) is None


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2), Fraction(4, 2), Decimal(2), torch.tensor(2)]
)
def test_a_count_may_be_of_any_type(value):
    assert whole_number("steps", value) == 2
    assert isinstance(whole_number("steps", value), int)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "2", None, 10**400, 2.5, 0])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(BadValueError, match="must be a whole number of at least 1"):
        whole_number("steps", value)
    assert whole_number("steps", 0, least=0) == 0


def test_a_message_shows_a_value_on_one_short_line():
    assert shown(0.5) == "0.5"
    assert shown(10**5000) == "a whole number of 16610 bits"
    assert shown("x" * 1000) == f"'{'x' * 56}..."
    assert "\n" not in shown(torch.zeros(50, 50))
    with pytest.raises(BadValueError, match="the noise level is a whole number of 1329 bits"):
        NoiseLevel(10**400)
