"""A guided call in latent space, with a dummy model: what is counted, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from safelatent.errors import BadValueError, GuardError, NotGuardedError
from safelatent.guidance import (
    EXACT,
    MAX,
    MEDIUM,
    SLD,
    WEAK,
    Estimates,
    NegativePrompt,
    PerImage,
    Plan,
    classifier_free,
)
from safelatent.guidance.ordered_call import OrderedCall

SHAPE = (4, 3, 3)
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@dataclass(frozen=True)
class Even:
    """A schedule whose noise falls evenly, as Stable Diffusion's nearly does."""

    evaluations: int

    def timestep(self, k: int) -> float:
        return 1000.0 * (1 - k / self.evaluations)

    def unit(self, k: int) -> float:
        return 1.0

    def level(self, k: int) -> float:
        return 1 - k / self.evaluations

    def mixture(self, k: int) -> tuple[float, float]:
        return k / self.evaluations, self.level(k)


def begin(
    guidance, steps: int, rows: int = 1, order: int = 1, watch=None, plan: Plan = EXACT
) -> OrderedCall:
    evaluations = order * steps
    return OrderedCall(
        guidance,
        Even(evaluations),
        rows=rows,
        evaluations=evaluations,
        order=order,
        plan=plan,
        watch=watch,
    )


def estimates(seed: int, rows: int = 1, dtype=torch.float32) -> Estimates:
    noise = torch.Generator().manual_seed(seed)
    u, p, s = (torch.randn((rows, *SHAPE), generator=noise).to(dtype) for _ in range(3))
    return Estimates(uncond=u, prompt=p, concept=s)


def carried_out(guidance, steps: int, rows: int = 1, make=estimates, order: int = 1):
    """A call carried out to its end."""
    call = begin(guidance, steps, rows, order)
    for k in range(call.evaluations):
        call.correct(make(k, rows), guidance_scale=7.5)
    return call


# What a receipt says, against what happened.


@dataclass(frozen=True)
class Dummy:
    """A model of which the three predictions are near one another, by ``spread``.

    But for ``far``, by which the unconditional one is away: sums with it round small changes away.
    """

    dtype: torch.dtype
    base: float
    spread: float
    far: float
    same: str

    def __call__(self, x: Tensor, k: int) -> Estimates:
        noise = torch.Generator().manual_seed(k)
        u, p, s = (
            self.base * x + self.spread * torch.randn(x.shape, generator=noise).to(self.dtype)
            for _ in range(3)
        )
        u = u + self.far
        if self.same == "prompt":
            s = p
        if self.same == "uncond":
            s = u
        return Estimates(uncond=u, prompt=p, concept=s)


SETTINGS = st.builds(
    SLD,
    warmup=st.integers(0, 3),
    scale=st.floats(1, 5000),
    threshold=st.sampled_from([0.0, 0.01, 0.025, 1.0]),
    momentum=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    decay=st.sampled_from([0.0, 0.4, 0.7]),
)
MODELS = st.builds(
    Dummy,
    dtype=st.sampled_from(DTYPES),
    base=st.sampled_from([0.0, 0.5, 1.0, 10.0]),
    spread=st.sampled_from([0.0, 1e-7, 1e-4, 1e-3, 1e-2, 1.0]),
    far=st.sampled_from([0.0, 0.0, 10.0, 1000.0]),
    same=st.sampled_from(["", "", "prompt", "uncond"]),
)


@settings(max_examples=300)
@given(
    guidance=st.one_of(SETTINGS, st.just(NegativePrompt()), st.sampled_from([MAX])),
    model=MODELS,
    scale=st.floats(1.01, 30),
    rows=st.integers(1, 120),
    steps=st.integers(6, 8),
)
def test_no_receipt_claims_a_step_whose_noise_was_not_changed(guidance, model, scale, rows, steps):
    """About 18,000 images in three precisions, the latents carried from step to step.

    The noise that the scheduler got is compared with the one it would have got: plain guidance of
    the model's own estimates, or, for the baseline, the prompt's own.
    """
    x = torch.randn((rows, *SHAPE), generator=torch.Generator().manual_seed(1)).to(model.dtype)
    x = x / max(1.0, model.base**2)
    call, changed = begin(guidance, steps, rows), [set() for _ in range(rows)]
    for k in range(steps):
        own = model(x, k)
        kept = own if guidance.needs_uncond else replace(own, uncond=None)
        correction = call.correct(kept, guidance_scale=scale)
        noise = classifier_free(correction, scale)
        plain = classifier_free(own, scale) if guidance.needs_uncond else own.prompt
        for b in (noise != plain).flatten(1).any(dim=1).nonzero().flatten().tolist():
            changed[b].add(k)
        x = x - 0.1 / max(1.0, model.base) * noise
    try:
        call.deferred.settle()
    except GuardError:  # an overflow: there is no image
        return
    assert all(
        counted <= really for counted, really in zip(call.tally.guided(), changed, strict=True)
    )
    try:
        receipts = call.finish("x")
    except NotGuardedError:
        return
    for receipt, steps_changed in zip(receipts, changed, strict=True):
        assert 0 < receipt.guided_steps <= len(steps_changed)


@settings(max_examples=60)
@given(
    each=st.lists(SETTINGS, min_size=1, max_size=4),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 1000),
)
def test_a_row_of_a_batch_is_the_same_request_alone(each, dtype, seed):
    together = begin(PerImage(each), 6, len(each))
    alone = [begin(one, 6) for one in each]
    for k in range(6):
        e = estimates(seed + k, len(each), dtype)
        joint = together.correct(e, guidance_scale=7.5)
        for b, call in enumerate(alone):
            one = call.correct(e.row(b), guidance_scale=7.5)
            assert torch.equal(joint.prompt[b : b + 1], one.prompt)
            assert torch.equal(joint.acts[b : b + 1], one.acts)
    for receipt, call in zip(together.finish("x"), alone, strict=True):
        assert receipt == call.finish("x")[0]


def test_a_change_that_the_combination_rounds_away_is_no_guided_step():
    """``e_p - gamma`` differs from ``e_p``, and ``e_u + s_g (...)`` is the same."""
    u, p = torch.full((1, 1, 1, 1), 1e4), torch.full((1, 1, 1, 1), 1e-3)
    e = Estimates(uncond=u, prompt=p, concept=p + 1e-8)
    sld = SLD(warmup=0, scale=1, threshold=1, momentum=0, decay=0)
    call = begin(sld, 2)
    for _ in range(2):
        correction = call.correct(e, guidance_scale=2.0)
        assert correction.acts.all()
        assert torch.equal(classifier_free(correction, 2.0), classifier_free(e, 2.0))
    assert call.tally.unguided_rows() == [0]


# Effect.


def nearly(k: int, rows: int, *, idle: range, which: str = "prompt") -> Estimates:
    """At the steps ``idle`` the concept's estimate is another's but for rounding, in row 0."""
    e = estimates(k, rows)
    if k not in idle:
        return e
    concept = e.concept.clone()
    concept[0] = getattr(e, which)[0] * (1 + 1e-7)
    return replace(e, concept=concept)


@pytest.mark.parametrize("which", ["prompt", "uncond"])
@pytest.mark.parametrize("guidance", [MAX, SLD(warmup=2, momentum=0.0)], ids=["max", "late"])
def test_where_next_to_nothing_was_changed_there_is_no_image(guidance, which):
    call = carried_out(
        guidance, 20, 2, lambda k, rows: nearly(k, rows, idle=range(20), which=which)
    )
    with pytest.raises(NotGuardedError, match="next to nothing of image 0: to the model"):
        call.finish("x")


def test_the_baseline_has_no_effect_where_the_concept_is_the_prompt():
    call = carried_out(
        NegativePrompt(),
        8,
        2,
        lambda k, rows: replace(nearly(k, rows, idle=range(8)), uncond=None),
    )
    with pytest.raises(NotGuardedError, match="next to nothing of image 0: to the model"):
        call.finish("x")


@pytest.mark.parametrize(("idle", "guided"), [(range(15, 20), True), (range(14, 20), False)])
def test_a_quarter_of_the_steps_may_be_idle(idle, guided):
    """As where a callback puts in what the guard cannot steer from, in the middle of a call."""
    sld = SLD(warmup=0, momentum=0.0, decay=0.0)
    call = carried_out(sld, 20, 2, lambda k, rows: nearly(k, rows, idle=idle))
    if guided:
        assert len(call.finish("x")) == 2
    else:
        with pytest.raises(NotGuardedError, match="next to nothing of image 0"):
            call.finish("x")


def test_every_image_of_a_batch_is_held_to_it():
    with pytest.raises(NotGuardedError, match="the warm-up is 15 steps and the call has 20"):
        begin(PerImage([MAX, WEAK, MEDIUM]), 20, rows=3)
    assert len(carried_out(PerImage([MAX, MEDIUM]), 20, 2).finish("x")) == 2


# The rest of a call's life.


def test_settings_are_for_as_many_images():
    with pytest.raises(BadValueError, match="settings for 2 images met a call that makes 3"):
        begin(PerImage([MAX, MAX]), 20, rows=3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["uncond", "prompt", "concept"])
def test_an_estimate_that_is_not_finite_is_refused(name, bad):
    call, e = begin(SLD(warmup=2), 6), estimates(0)
    getattr(e, name)[0, 0, 0, 0] = bad
    call.correct(estimates(1), guidance_scale=7.5)
    call.correct(e, guidance_scale=7.5)
    with pytest.raises(GuardError, match="estimate at step 1 is not finite"):
        call.finish("x")


def test_a_correction_that_overflows_is_refused():
    """Finite in half precision, and their difference is not."""
    u, s = torch.full((2, 1, 4, 3, 3), 6e4, dtype=torch.float16)
    e = Estimates(uncond=-u, prompt=torch.zeros_like(u), concept=s)
    call = begin(MAX, 6)
    call.correct(e, guidance_scale=7.5)
    with pytest.raises(GuardError, match="the corrected prompt's estimate at step 0"):
        call.deferred.settle()


def test_a_combination_that_overflows_is_refused():
    call = begin(MAX, 6)
    call.correct(estimates(0), guidance_scale=1e308)
    with pytest.raises(GuardError, match="the guided estimate at step 0 is not finite"):
        call.deferred.settle()


def test_an_image_that_no_step_changed_is_named():
    def silent(k: int, rows: int) -> Estimates:
        e = estimates(k, rows)
        e.concept[1] = e.uncond[1]
        return e

    with pytest.raises(NotGuardedError, match="no step changed image 1:"):
        carried_out(MAX, 6, 3, silent).finish("x")
