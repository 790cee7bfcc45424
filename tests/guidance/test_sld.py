from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.guidance import MAX, MEDIUM, PRESETS, SLD, STRONG, WEAK, Estimates, classifier_free
from tests.guidance.reference import published_step

SHAPE = (2, 4, 5, 5)
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def estimates(seed: int, dtype: torch.dtype = torch.float32, spread: float = 1.0) -> Estimates:
    noise = torch.Generator().manual_seed(seed)
    u, p, s = ((spread * torch.randn(SHAPE, generator=noise)).to(dtype) for _ in range(3))
    return Estimates(uncond=u, prompt=p, concept=s)


def peer_step(e: Estimates, nu, i: int, s_g: float, sld: SLD):
    """The published code, as it stands in diffusers."""
    from diffusers.pipelines.deprecated.stable_diffusion_safe import StableDiffusionPipelineSafe

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
def test_bit_identical_to_the_published_step(name, dtype):
    """1,000 random cases a preset and type: 200 runs of five steps around the warm-up, from tiny to
    large differences.
    """
    sld = PRESETS[name]
    for case in range(200):
        nu, state = None, sld.init(torch.zeros(SHAPE, dtype=dtype))
        for i in (0, sld.warmup - 1, sld.warmup, sld.warmup + 1, 40):
            e = estimates(1000 * case + i + 1, dtype, spread=10 ** (case % 5 - 4))
            expected, nu = peer_step(e, nu, i, 7.5, sld)
            noise, state = sld.step(e, state, i, 7.5)
            assert torch.equal(noise, expected), (
                f"case {case}, step {i}: differs by {(noise - expected).abs().max()}"
            )


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
    noise, after = sld.step(Estimates(uncond=u, prompt=p, concept=s), state, i, 5.0)
    expected_noise, expected_nu = published_step(e_u, e_p, e_s, nu, i, 5.0, sld)
    assert noise.item() == pytest.approx(expected_noise, abs=1e-9)
    if sld.needs_concept(i):
        assert after.item() == pytest.approx(expected_nu, abs=1e-9)


@pytest.mark.parametrize("sld", PRESETS.values(), ids=PRESETS)
def test_correct_then_plain_guidance_is_the_step(sld):
    """``c' = c - gamma`` and the pipeline's own guidance give Eq. 3 (up to rounding, hence 1e-5 at
    values of about 10).
    """
    state = other = sld.init(torch.zeros(SHAPE))
    for i in range(20):
        e = estimates(i, spread=0.5)
        noise, state = sld.step(e, state, i, 7.5)
        correction, other = sld.correct(e, other, i)
        torch.testing.assert_close(
            classifier_free(correction.uncond, correction.prompt, 7.5), noise, atol=1e-5, rtol=0
        )
        torch.testing.assert_close(state, other, atol=0, rtol=0)


def test_defaults_are_the_papers_medium():
    assert SLD() == MEDIUM


def test_step_is_pure():
    e, state = estimates(1), torch.ones(SHAPE)
    before = [t.clone() for t in (e.uncond, e.prompt, e.concept, state)]
    first, _ = MAX.step(e, state, 3, 7.5)
    second, _ = MAX.step(e, state, 3, 7.5)
    assert torch.equal(first, second)
    for now, then in zip((e.uncond, e.prompt, e.concept, state), before, strict=True):
        assert torch.equal(now, then)


def test_the_warm_up_leaves_the_estimate_alone():
    e = estimates(2)
    noise, _ = STRONG.step(e, STRONG.init(e.prompt), STRONG.warmup - 1, 7.5)
    assert torch.equal(noise, classifier_free(e.uncond, e.prompt, 7.5))
    correction, _ = STRONG.correct(e, STRONG.init(e.prompt), STRONG.warmup - 1)
    assert not correction.acts.any()
    assert not correction.gamma.any()
    assert not correction.gate.any()


def test_momentum_gathers_in_the_warm_up_and_weak_needs_no_concept_there():
    evaluations = {
        name: sum(2 + sld.needs_concept(i) for i in range(50)) for name, sld in PRESETS.items()
    }
    assert evaluations == {"weak": 135, "medium": 150, "strong": 150, "max": 150}
    e = estimates(3)
    _, state = MEDIUM.step(e, MEDIUM.init(e.prompt), 0, 7.5)
    assert state.any()


def test_weak_without_the_concept_is_the_same_to_the_bit():
    whole = lazy = WEAK.init(torch.zeros(SHAPE))
    for i in range(20):
        e = estimates(i)
        kept = e if WEAK.needs_concept(i) else Estimates(uncond=e.uncond, prompt=e.prompt)
        expected, whole = peer_step(e, whole, i, 7.5, WEAK)
        noise, lazy = WEAK.step(kept, lazy, i, 7.5)
        assert torch.equal(noise, expected)


def test_a_missing_estimate_is_an_error():
    e = estimates(4)
    with pytest.raises(BadValueError, match="step 12 needs the concept"):
        MEDIUM.step(Estimates(uncond=e.uncond, prompt=e.prompt), MEDIUM.init(e.prompt), 12, 7.5)
    with pytest.raises(BadValueError, match="unconditional"):
        MEDIUM.step(
            Estimates(uncond=None, prompt=e.prompt, concept=e.concept),
            MEDIUM.init(e.prompt),
            12,
            7.5,
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
    "warmup": [-1, 1.5, math.nan, math.inf, "10", None, True, [1, -1]],
    "scale": [0.99, 0, -5, math.nan, math.inf, "x", True, [2.0, 0.5]],
    "threshold": [-1e-9, 1.01, -1e9, math.nan, math.inf],
    "momentum": [-0.1, 1.1, math.nan],
    "decay": [-0.1, 1.0, 1e30, math.nan],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values], ids=str
)
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(BadValueError, match=rf"{name} is .*must be"):
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
