"""No image with a receipt whose gamma was zero at every step, or that is the unguarded one.

Random settings in latent space, with a dummy denoiser and the schedulers of diffusers. Each call
has its guidance, plan, scheduler, steps, scale and precision; each image in it has its noise and
its model: how far the three predictions are from one another, and which of them are the same, or
nearly. An image is compared with what plain guidance draws from the same noise. The negative-prompt
baseline, which has no gamma and never evaluates the unconditional prediction, has its own test in
``test_guided_call``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from safelatent.concepts import Concept
from safelatent.errors import BadValueError, GuardError, NotGuardedError
from safelatent.guidance import (
    PRESETS,
    SLD,
    Adaptive,
    Estimates,
    NoiseLevel,
    PerImage,
    Plan,
    classifier_free,
    rounding,
)
from safelatent.guidance.categories import Category
from safelatent.guidance.ordered_call import OrderedCall
from safelatent.pipelines.schedule import Schedule
from tests.guidance.test_guided_call import DTYPES

# 100,000 with SAFELATENT_SETTINGS=100000; what is ordinary takes a few seconds.
SETTINGS = int(os.environ.get("SAFELATENT_SETTINGS", "1000"))
ROWS, SHAPE, KINDS = 10, (2, 2, 2), 3
STRANGE = 0.02  # share of images whose predictions leave the guard next to nothing to act on
# How far predictions are apart, relative to the latents. In half precision a step may round away
# what is due to the least of them, the prompt's own direction included.
SPREADS = (1e-3, 0.1, 1.0, 1.0)
PLANS = ("exact", "exact", "exact", "concept=2", "concept=3")
STABLE = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
}
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "DDIM": ("DDIMScheduler", STABLE | {"clip_sample": False, "set_alpha_to_one": False}),
    "PNDM": ("PNDMScheduler", STABLE | {"skip_prk_steps": True}),
    "Euler": ("EulerDiscreteScheduler", STABLE),
    "Euler, velocity": ("EulerDiscreteScheduler", STABLE | {"prediction_type": "v_prediction"}),
    "Euler ancestral": ("EulerAncestralDiscreteScheduler", STABLE),
    "DPM++": ("DPMSolverMultistepScheduler", STABLE),
    "Heun": ("HeunDiscreteScheduler", STABLE),
    "flow": ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One call: everything but what its images' models predict."""

    guidance: Any
    plan: str
    scheduler: str
    steps: int
    scale: float
    dtype: torch.dtype
    seeds: tuple[int, ...]  # of each image's noise in the steps

    def rows(self, rows: list[int]) -> Setting:
        """Return the same for some of the images."""
        own = replace(self, seeds=tuple(self.seeds[b] for b in rows))
        if not isinstance(self.guidance, PerImage):
            return own
        return replace(own, guidance=PerImage([self.guidance.row(b) for b in rows]))


def sld(rng: np.random.Generator) -> SLD:
    if rng.random() < 0.3:
        chosen = list(PRESETS.values())[rng.integers(4)]
        return chosen.by_noise_level() if rng.random() < 0.7 else chosen
    warmup = NoiseLevel(rng.uniform(0.3, 1)) if rng.random() < 0.5 else int(rng.integers(0, 5))
    return SLD(
        warmup=warmup,
        scale=rng.uniform(1, 5000),
        threshold=rng.choice([0.0, 0.01, 0.025, 1.0]),
        momentum=rng.choice([0.0, 0.3, 0.5, 1.0]),
        decay=rng.choice([0.0, 0.4, 0.7]),
    )


def adaptive(rng: np.random.Generator) -> Adaptive:
    kinds = (
        Category(name=f"kind {k}", concept=Concept(terms=(f"thing {k}",)), strength=sld(rng))
        for k in range(KINDS)
    )
    return Adaptive(
        categories=tuple(kinds), every=int(rng.integers(1, 5)), near=rng.uniform(0.5, 1)
    )


def setting(rng: np.random.Generator) -> Setting:
    kind = rng.random()
    guidance: object = sld(rng) if kind < 0.6 else adaptive(rng)
    if kind > 0.9:
        guidance = PerImage([sld(rng) for _ in range(ROWS)])
    return Setting(
        guidance=guidance,
        plan=str(rng.choice(PLANS)),
        scheduler=str(rng.choice(list(SCHEDULERS))),
        steps=int(rng.integers(4, 12)),
        scale=rng.uniform(1.01, 20),
        dtype=DTYPES[rng.integers(len(DTYPES))],
        seeds=tuple(range(ROWS)),
    )


@cache
def scheduler(name: str, *, plain: bool) -> Any:
    """Of the guarded call, or of the plain one beside it."""
    kind, settings = SCHEDULERS[name]
    return getattr(diffusers, kind)(**settings)


@dataclass(frozen=True, kw_only=True)
class Models:
    """The dummy denoiser of each image: (K, 2 + N, B, C, H, W) of what it adds to its latents."""

    added: Tensor
    base: float

    @classmethod
    def random(cls, rng: np.random.Generator, one: Setting) -> Models:
        shape = (2 * one.steps, 2 + KINDS, ROWS, *SHAPE)
        spread = rng.choice(SPREADS, size=(1, 1, ROWS, 1, 1, 1))
        added = torch.from_numpy(spread * rng.standard_normal(shape)).to(one.dtype)
        for b in np.flatnonzero(rng.random(ROWS) < STRANGE):
            near = float(rng.choice([0.0, 0.0, 1e-7, 1e-4, 1e-3]))
            like = int(rng.integers(2))  # the unconditional prediction, or the prompt's
            steps = slice(int(rng.integers(0, 3)), None)
            added[steps, 2:, b] = added[steps, like : like + 1, b] + near * added[steps, 2:, b]
        return cls(added=added, base=float(rng.choice([0.0, 0.5, 1.0])))

    def rows(self, rows: list[int]) -> Models:
        return replace(self, added=self.added[:, :, rows])

    def at(self, x: Tensor, k: int) -> Tensor:
        """Return ``e_u``, ``e_p`` and the concepts' predictions, (2 + N, B, C, H, W)."""
        return self.base * x + self.added[k]


def asked(call, own: Tensor) -> Estimates:
    """What the call's plan has evaluated of the predictions."""
    look, (e_u, e_p, *concepts) = call.look, own
    e_S: Tensor | None = concepts[0] if look.concept == "evaluated" else None
    if e_S is not None and call.chosen is not None:
        e_S = own[2 + call.chosen, torch.arange(own.shape[1])]
    return Estimates(
        uncond=e_u if look.uncond == "evaluated" else None,
        prompt=e_p,
        concept=None if look.choices else e_S,
        concepts=tuple(concepts) if look.choices else (),
    )


class Sampling:
    """Latents on their way through a scheduler of diffusers."""

    def __init__(self, one: Setting, noise: Tensor, *, plain: bool) -> None:
        self.scheduler = scheduler(one.scheduler, plain=plain)
        self.scheduler.set_timesteps(one.steps)
        self.x = noise * getattr(self.scheduler, "init_noise_sigma", 1.0)
        self.timesteps = self.scheduler.timesteps
        self.options = {}
        if "Ancestral" in type(self.scheduler).__name__:
            own = [torch.Generator().manual_seed(seed) for seed in one.seeds]
            self.options = {"generator": own}

    def seen(self, k: int) -> Tensor:
        """Return the latents as the denoiser gets them."""
        own = getattr(self.scheduler, "scale_model_input", None)  # rectified flow has none
        return self.x if own is None else own(self.x, self.timesteps[k])

    def step(self, noise: Tensor, k: int) -> None:
        out = self.scheduler.step(noise, self.timesteps[k], self.x, **self.options)
        self.x = out.prev_sample


def drawn(one: Setting, models: Models, noise: Tensor):
    """Carry a call out beside an unguarded one; return its receipts (None: refused), the images
    that any step changed, those that are not the unguarded ones, and those to blame if refused.
    """
    rows = noise.shape[0]
    safe, plain = (Sampling(one, noise, plain=plain) for plain in (False, True))
    evaluations = len(safe.timesteps)
    call = OrderedCall(
        one.guidance,
        Schedule(safe.scheduler, float(safe.timesteps[0]), evaluations),
        rows=rows,
        evaluations=evaluations,
        order=safe.scheduler.order,
        plan=Plan.parse(one.plan),
    )
    changed = torch.zeros(rows, dtype=torch.bool)
    for k in range(evaluations):
        own = models.at(safe.seen(k), k)
        correction = call.correct(asked(call, own), guidance_scale=one.scale)
        assert correction.gamma is not None
        changed |= (correction.gamma != 0).flatten(1).any(dim=1)
        safe.step(classifier_free(correction, one.scale), k)
        e_u, e_p = models.at(plain.seen(k), k)[:2]
        plain.step(e_u + one.scale * (e_p - e_u), k)
    other = (safe.x != plain.x).flatten(1).any(dim=1)
    try:
        return call.finish("x"), changed, other, []
    except NotGuardedError:
        return None, changed, other, {*call.tally.unguided_rows(), *call.tally.idle_rows()}
    except GuardError:  # not finite
        return None, changed, other, range(rows)


def test_no_receipt_without_gamma_and_none_for_the_unguarded_image():
    given, refused = 0, 0
    for n in range(-(-SETTINGS // ROWS)):
        rng = np.random.default_rng([2026, n])
        one = setting(rng)
        models = Models.random(rng, one)
        noise = torch.from_numpy(rng.standard_normal((ROWS, *SHAPE))).to(one.dtype)
        try:
            receipts, changed, other, to_blame = drawn(one, models, noise)
        except (NotGuardedError, BadValueError):  # before the first step: nothing is drawn
            refused += ROWS
            continue
        refused += len(to_blame)
        if receipts is None:  # one image must not hide the others
            left = [b for b in range(ROWS) if b not in to_blame]
            if not left:
                continue
            receipts, changed, other, _ = drawn(one.rows(left), models.rows(left), noise[left])
            assert receipts is not None, n
        for b, receipt in enumerate(receipts):
            given += 1
            untrue = f"a receipt that is not true: image {b} of call {n}"
            assert receipt.guided_steps > 0, untrue
            assert changed[b], untrue
            assert other[b], untrue
    print(f"{given + refused} settings: {given} images with a receipt, {refused} refused")
    # Else nothing would have been tested.
    assert given > 0.3 * SETTINGS
    assert refused > 0.02 * SETTINGS


def test_the_test_sees_a_receipt_that_is_not_true(monkeypatch):
    """Broken on purpose: a guard that reports what it did not do."""
    monkeypatch.setattr("safelatent.guidance.receipt.Tally.idle_rows", lambda _: [])
    monkeypatch.setattr("safelatent.guidance.receipt.Tally.unguided_rows", lambda _: [])
    monkeypatch.setitem(globals(), "STRANGE", 0.9)
    with pytest.raises(AssertionError, match="a receipt that is not true"):
        test_no_receipt_without_gamma_and_none_for_the_unguarded_image()


def test_the_test_sees_what_a_step_rounds_away(monkeypatch):
    """Broken on purpose: any change of the noise counts, in half precision too."""
    monkeypatch.setattr(rounding, "LEAST_CHANGE", 0)
    monkeypatch.setitem(globals(), "SPREADS", (1e-3,))
    with pytest.raises(AssertionError, match="a receipt that is not true"):
        test_no_receipt_without_gamma_and_none_for_the_unguarded_image()
