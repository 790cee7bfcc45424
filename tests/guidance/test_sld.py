from __future__ import annotations

import dataclasses
import math
from decimal import Decimal
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.guidance import (
    MAX,
    MEDIUM,
    PRESETS,
    SLD,
    STRONG,
    WEAK,
    Estimates,
    PresetName,
    classifier_free,
    preset,
    preset_name,
)
from tests.guidance.reference import published_step
from tests.peer import StableDiffusionPipelineSafe

SHAPE = (2, 4, 5, 5)
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def estimates(seed: int, dtype: torch.dtype = torch.float32, spread: float = 1.0) -> Estimates:
    noise = torch.Generator().manual_seed(seed)
    u, p, s = ((spread * torch.randn(SHAPE, generator=noise)).to(dtype) for _ in range(3))
    return Estimates(uncond=u, prompt=p, concept=s)


def peer_step(e: Estimates, nu, i: int, s_g: float, sld: SLD):
    """The published code, as it stands in diffusers."""
    guidance = e.prompt - e.uncond
    out = (e.prompt, e.uncond, e.concept)
    guidance, nu = StableDiffusionPipelineSafe.perform_safety_guidance(
        None,
        True,
        nu,
        guidance,
        out,
        i,
        sld.scale,
        sld.warmup,
        sld.threshold,
        sld.momentum,
        sld.decay,
    )
    return e.uncond + s_g * guidance, nu


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", PRESETS)
def test_the_published_step(name, dtype):
    """Gamma and momentum to the bit; the noise within what rounding a sum in another order can do.

    1,000 random cases for each preset and type: 200 runs, one per row, of five steps around the
    warm-up, from tiny to large differences.
    """
    sld = PRESETS[name]
    nu, state = None, sld.init(torch.zeros(200, *SHAPE[1:], dtype=dtype))
    for i in (0, sld.warmup - 1, sld.warmup, sld.warmup + 1, 40):
        e = two_hundred(i + 1, dtype)
        gamma = published_gamma(e, nu, i, sld)
        expected, nu = peer_step(e, nu, i, 7.5, sld)
        correction, state = sld.correct(e, state, i)
        assert torch.equal(correction.gamma, gamma), f"step {i}"
        # *weak* skips the concept in the warm-up, where its momentum is never used.
        if sld.momentum:
            assert torch.equal(state, nu), f"step {i}"
        difference = (classifier_free(correction, 7.5) - expected).double().abs()
        bound = rounding_bound(e, correction.gamma, expected, 7.5)
        assert (difference <= bound).all(), f"step {i}"


def two_hundred(seed: int, dtype: torch.dtype) -> Estimates:
    noise = torch.Generator().manual_seed(seed)
    spread = 10.0 ** (torch.arange(200).view(-1, 1, 1, 1) % 5 - 4)
    u, p, s = ((spread * torch.randn(200, *SHAPE[1:], generator=noise)).to(dtype) for _ in range(3))
    return Estimates(uncond=u, prompt=p, concept=s)


def published_gamma(e: Estimates, nu, i: int, sld: SLD):
    """What the published code subtracts: its guidance, asked from zero."""
    out = (e.prompt, e.uncond, e.concept)
    settings = (sld.scale, sld.warmup, sld.threshold, sld.momentum, sld.decay)
    zero = torch.zeros_like(e.prompt)
    step = StableDiffusionPipelineSafe.perform_safety_guidance
    guidance, _ = step(None, True, nu, zero, out, i, *settings)
    return -guidance


def rounding_bound(e: Estimates, gamma, noise, s_g: float):
    """How far ``e_u + s_g ((e_p - gamma) - e_u)`` and ``e_u + s_g ((e_p - e_u) - gamma)`` may be.

    Each operation rounds its result by at most half a unit in the last place, which is ``r`` times
    its size. With ``w = e_p - gamma - e_u``, the two inner differences are off by ``r |e_p -
    gamma|`` and ``r |e_p - e_u|``; each outer difference, each product and each sum rounds once
    more. Second-order terms are within the last factor.
    """
    info = torch.finfo(e.prompt.dtype)
    r = info.eps / 2
    u, p, g = (x.double() for x in (e.uncond, e.prompt, gamma))
    w = (p - g - u).abs()
    inner = (p - g).abs() + (p - u).abs() + 2 * w
    outer = 2 * s_g * w + 2 * torch.maximum(noise.double().abs(), (u + s_g * (p - g - u)).abs())
    # The smallest numbers of half precision are spaced evenly.
    return (r * (s_g * inner + outer) + 8 * s_g * info.smallest_normal * info.eps) * (1 + 16 * r)


@given(
    e_u=st.floats(-3, 3),
    e_p=st.floats(-3, 3),
    e_s=st.floats(-3, 3),
    nu=st.floats(-3, 3),
    i=st.integers(0, 20),
    warmup=st.integers(0, 20),
    scale=st.floats(1, 5000),
    threshold=st.floats(0, 1),
    momentum=st.floats(0, 1),
    decay=st.floats(0, 0.99),
)
@settings(max_examples=300)
def test_every_element_follows_the_equations(
    e_u, e_p, e_s, nu, i, warmup, scale, threshold, momentum, decay
):
    sld = SLD(warmup=warmup, scale=scale, threshold=threshold, momentum=momentum, decay=decay)
    u, p, s, state = (torch.full((1, 1, 1, 1), x, dtype=torch.float64) for x in (e_u, e_p, e_s, nu))
    correction, after = sld.correct(Estimates(uncond=u, prompt=p, concept=s), state, i)
    noise = classifier_free(correction, 5.0)
    expected_noise, expected_nu = published_step(e_u, e_p, e_s, nu, i, 5.0, sld)
    assert noise.item() == pytest.approx(expected_noise, abs=1e-9)
    if sld.needs_concept(i):
        assert after.item() == pytest.approx(expected_nu, abs=1e-9)


def test_defaults_are_the_papers_medium():
    assert SLD() == MEDIUM


def test_step_is_pure():
    e, state = estimates(1), torch.ones(SHAPE)
    before = [t.clone() for t in (e.uncond, e.prompt, e.concept, state)]
    first, _ = MAX.correct(e, state, 3)
    second, _ = MAX.correct(e, state, 3)
    assert torch.equal(first.prompt, second.prompt)
    for now, then in zip((e.uncond, e.prompt, e.concept, state), before, strict=True):
        assert torch.equal(now, then)


def test_the_warm_up_leaves_the_estimate_alone():
    e = estimates(2)
    correction, _ = STRONG.correct(e, STRONG.init(e.prompt), STRONG.warmup - 1)
    assert torch.equal(classifier_free(correction, 7.5), classifier_free(e, 7.5))
    assert not correction.acts.any()
    assert not correction.gamma.any()
    assert not correction.gate.any()


def test_against_the_true_empty_prompt_a_negative_one_shifts_nothing():
    e = estimates(3)
    beside = dataclasses.replace(
        e, uncond=e.concept, empty=e.uncond
    )  # the concept as negative prompt
    nu = torch.ones(SHAPE)
    (plain, after), (own, same) = (MAX.correct(one, nu, 3) for one in (e, beside))
    assert torch.equal(own.gamma, plain.gamma)
    assert torch.equal(same, after)
    assert torch.equal(own.uncond, e.concept)
    published, _ = MAX.correct(dataclasses.replace(beside, empty=None), torch.zeros(SHAPE), 3)
    assert not published.gamma.any()


def test_momentum_gathers_in_the_warm_up_and_weak_needs_no_concept_there():
    evaluations = {
        name: sum(2 + sld.needs_concept(i) for i in range(50)) for name, sld in PRESETS.items()
    }
    assert evaluations == {"weak": 135, "medium": 150, "strong": 150, "max": 150}
    e = estimates(3)
    _, state = MEDIUM.correct(e, MEDIUM.init(e.prompt), 0)
    assert state.any()


def test_weak_without_the_concept_is_the_same_to_the_bit():
    whole = lazy = WEAK.init(torch.zeros(SHAPE))
    for i in range(20):
        e = estimates(i)
        kept = e if WEAK.needs_concept(i) else Estimates(uncond=e.uncond, prompt=e.prompt)
        expected = published_gamma(e, whole, i, WEAK)
        _, whole = peer_step(e, whole, i, 7.5, WEAK)
        correction, lazy = WEAK.correct(kept, lazy, i)
        assert torch.equal(correction.gamma, expected)


def test_a_missing_estimate_is_an_error():
    e = estimates(4)
    with pytest.raises(BadValueError, match="step 12 needs the concept"):
        MEDIUM.correct(Estimates(uncond=e.uncond, prompt=e.prompt), MEDIUM.init(e.prompt), 12)
    with pytest.raises(BadValueError, match="unconditional"):
        MEDIUM.correct(
            Estimates(uncond=None, prompt=e.prompt, concept=e.concept),
            MEDIUM.init(e.prompt),
            12,
        )


def test_the_gate_is_in_units_of_noise():
    """With a unit of 0.1, differences of 0.05 count as 0.005: below a threshold of 0.01 that they
    would exceed as they are.
    """
    e_u, e_p = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 0.05)
    e = Estimates(uncond=e_u, prompt=e_p, concept=torch.zeros(1, 1, 1, 1) + 1e-9)
    plain, _ = MEDIUM.correct(e, MEDIUM.init(e_u), 20)
    scaled, _ = MEDIUM.correct(e, MEDIUM.init(e_u), 20, unit=0.1)
    assert plain.gate.item() == 0
    assert scaled.gate.item() == pytest.approx(1.0)


BAD = {
    "warmup": [-1, 1.5, math.nan, math.inf, "10", None, True, [1, 2], 10**400],
    "scale": [0.99, 0, -5, math.nan, math.inf, "x", True, [2.0, 5.0], 10**400],
    "threshold": [-1e-9, 1.01, -1e9, math.nan, math.inf],
    "momentum": [-0.1, 1.1, math.nan],
    "decay": [-0.1, 1.0, 1e30, math.nan],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values], ids=str
)
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(BadValueError, match=rf"^{name} is .*must be"):
        SLD(**{name: value})


def test_edges_are_accepted():
    SLD(warmup=0, scale=1, threshold=0, momentum=0, decay=0)
    SLD(warmup=10.0, scale=1e6, threshold=1, momentum=1, decay=0.999)


def test_settings_are_frozen_and_named():
    with pytest.raises(dataclasses.FrozenInstanceError):
        MEDIUM.scale = 3.0
    with pytest.raises(TypeError):
        SLD(10)
    assert dataclasses.replace(MEDIUM, warmup=3).warmup == 3


def test_many_settings_are_for_per_image():
    with pytest.raises(BadValueError, match=r"scale is \(2\.0, 5\.0\).*PerImage"):
        SLD(scale=(2.0, 5.0))
    with pytest.raises(BadValueError, match="PerImage"):
        SLD(warmup=torch.tensor([1, 2]))


def test_numbers_of_any_type_are_the_same_settings():
    given = SLD(
        warmup=np.int16(7),
        scale=Fraction(2000),
        threshold=Decimal("0.025"),
        momentum=np.float32(0.5),
        decay=torch.tensor(0.7, dtype=torch.float64),
    )
    assert given == STRONG
    assert {type(value) for value in dataclasses.asdict(given).values()} == {int, float}


def test_in_half_precision_only_what_changes_an_estimate_acts():
    """The gate is open, and gamma is lost in the rounding of ``e_p - gamma``."""
    p = torch.ones(1, 1, 1, 1, dtype=torch.bfloat16)
    s = torch.nextafter(p, torch.full_like(p, 2))
    e = Estimates(uncond=torch.full_like(p, 0.999), prompt=p, concept=s)
    correction, _ = SLD(warmup=0, scale=1, threshold=1, momentum=0, decay=0).correct(
        e, torch.zeros_like(p), 0
    )
    assert correction.gamma.item() != 0
    assert torch.equal(correction.prompt, e.prompt)
    assert not correction.acts.any()


PAPER = {  # delta, s_S, lambda, s_m, beta_m
    "weak": (15, 200, 0.0, 0.0, 0.0),
    "medium": (10, 1000, 0.01, 0.3, 0.4),
    "strong": (7, 2000, 0.025, 0.5, 0.7),
    "max": (0, 5000, 1.0, 0.5, 0.7),
}


@pytest.mark.parametrize("name", PAPER)
def test_presets_are_the_papers(name):
    sld = preset(name)
    assert (sld.warmup, sld.scale, sld.threshold, sld.momentum, sld.decay) == PAPER[name]
    assert preset_name(sld) == name


def test_there_are_no_others():
    assert set(PRESETS) == set(PAPER)
    assert preset_name(SLD(warmup=3)) is None
    assert preset("max") is MAX
    assert get_args(PresetName) == tuple(PRESETS)


@pytest.mark.parametrize(
    ("given", "meant"), [("stong", "strong"), ("maximum", "max"), ("Weak", "weak")]
)
def test_an_unknown_name_is_answered_with_the_nearest(given, meant):
    with pytest.raises(BadValueError, match=f"unknown preset '{given}'.*did you mean '{meant}'"):
        preset(given)


@pytest.mark.parametrize("given", ["", "zzz", None, 3, ["weak"], torch.zeros(2)], ids=str)
def test_what_is_near_nothing_gets_the_list(given):
    with pytest.raises(BadValueError, match="the presets are: weak, medium, strong, max"):
        preset(given)
