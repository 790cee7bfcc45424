"""No image with a receipt whose gamma was zero at every step, or that is the unguarded one.

Random settings in latent space, with a dummy denoiser. Each call has its guidance, plan, steps,
solver's order, scale and precision; each image in it has its noise and its model: how far the three
predictions are from one another, and which of them are the same, or nearly. An image is compared
with what plain guidance draws from the same noise. The negative-prompt baseline, which has no gamma
and never evaluates the unconditional prediction, has its own test in ``test_guided_call``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

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
)
from safelatent.guidance.adaptive import Category
from tests.guidance.test_guided_call import DTYPES, begin

# 100,000 with SAFELATENT_SETTINGS=100000; what is ordinary takes a few seconds.
SETTINGS = int(os.environ.get("SAFELATENT_SETTINGS", "1000"))
ROWS, SHAPE, KINDS = 10, (2, 2, 2), 3
STRANGE = 0.02  # share of images whose predictions leave the guard next to nothing to act on
# How far predictions are apart, relative to the latents. In half precision, what differs by less
# than the rounding of the latents is swallowed by the scheduler's step, the prompt's own direction
# included: ``test_in_half_precision_a_step_may_swallow_the_change`` shows it.
LEAST_SPREAD, LEAST_SPREAD_OF_HALF = 1e-3, 0.1
PLANS = ("exact", "exact", "exact", "concept=2", "concept=3")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One call: everything but what its images' models predict."""

    guidance: object
    plan: str
    steps: int
    order: int
    scale: float
    dtype: torch.dtype


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
        steps=int(rng.integers(4, 12)),
        order=int(rng.choice([1, 1, 2])),
        scale=rng.uniform(1.01, 20),
        dtype=DTYPES[rng.integers(len(DTYPES))],
    )


@dataclass(frozen=True, kw_only=True)
class Models:
    """The dummy denoiser of each image: (K, 2 + N, B, C, H, W) of what it adds to its latents."""

    added: Tensor
    base: float

    @classmethod
    def random(cls, rng: np.random.Generator, one: Setting) -> Models:
        shape = (one.steps * one.order, 2 + KINDS, ROWS, *SHAPE)
        least = LEAST_SPREAD if one.dtype == torch.float32 else LEAST_SPREAD_OF_HALF
        spread = rng.choice([least, 0.1, 1.0, 1.0], size=(1, 1, ROWS, 1, 1, 1))
        added = torch.from_numpy(spread * rng.standard_normal(shape)).to(one.dtype)
        for b in np.flatnonzero(rng.random(ROWS) < STRANGE):
            near = float(rng.choice([0.0, 0.0, 1e-7, 1e-4, 1e-3]))
            like = int(rng.integers(2))  # the unconditional prediction, or the prompt's
            steps = slice(int(rng.integers(0, 3)), None)
            added[steps, 2:, b] = added[steps, like : like + 1, b] + near * added[steps, 2:, b]
        return cls(added=added, base=float(rng.choice([0.0, 0.5, 1.0])))

    def rows(self, rows: slice) -> Models:
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


def drawn(one: Setting, models: Models, noise: Tensor):
    """Carry a call out beside an unguarded one; return its receipts (None: refused), the images
    that any step changed, and those that are not the unguarded ones.
    """
    rows = noise.shape[0]
    call = begin(one.guidance, one.steps, rows, one.order, plan=Plan.parse(one.plan))
    x, plain = noise.clone(), noise.clone()
    changed = torch.zeros(rows, dtype=torch.bool)
    for k in range(one.steps * one.order):
        own = models.at(x, k)
        correction = call.correct(asked(call, own), guidance_scale=one.scale)
        assert correction.gamma is not None
        changed |= (correction.gamma != 0).flatten(1).any(dim=1)
        x = x - 0.1 * classifier_free(correction, one.scale)
        e_u, e_p = models.at(plain, k)[:2]
        plain = plain - 0.1 * (e_u + one.scale * (e_p - e_u))
    other = (x != plain).flatten(1).any(dim=1)
    try:
        return call.finish("x"), changed, other
    except GuardError:
        return None, changed, other


def test_no_receipt_without_gamma_and_none_for_the_unguarded_image():
    given, refused = 0, 0
    for n in range(-(-SETTINGS // ROWS)):
        rng = np.random.default_rng([2026, n])
        one = setting(rng)
        models = Models.random(rng, one)
        noise = torch.from_numpy(rng.standard_normal((ROWS, *SHAPE))).to(one.dtype)
        try:
            found = [drawn(one, models, noise)]
        except (NotGuardedError, BadValueError):  # before the first step: nothing is drawn
            refused += ROWS
            continue
        if found[0][0] is None and one.guidance.rows is None:  # one image must not hide the others
            alone = [slice(b, b + 1) for b in range(ROWS)]
            found = [drawn(one, models.rows(b), noise[b]) for b in alone]
        for receipts, changed, other in found:
            refused += len(changed) if receipts is None else 0
            for b, receipt in enumerate(receipts or ()):
                given += 1
                assert receipt.guided_steps > 0, (n, b)
                assert changed[b], (n, b)
                assert other[b], (n, b)
    # Else nothing would have been tested.
    assert given > 0.3 * SETTINGS
    assert refused > 0.02 * SETTINGS
    print(f"{given} images with a receipt, {refused} refused")


@pytest.mark.xfail(
    strict=False,  # seen in 5 of 711 receipts: not on every machine
    reason="half precision may round away all that the guard changed",
)
def test_in_half_precision_a_step_may_swallow_the_change(monkeypatch):
    """A limit: where all predictions agree to the rounding of the latents, the guard changes the
    noise, and the scheduler's step rounds the change away.
    """
    monkeypatch.setitem(globals(), "LEAST_SPREAD_OF_HALF", 1e-3)
    test_no_receipt_without_gamma_and_none_for_the_unguarded_image()


def test_the_test_sees_a_receipt_that_is_not_true(monkeypatch):
    """Broken on purpose: a guard that reports what it did not do."""
    monkeypatch.setattr("safelatent.guidance.receipt.Tally.idle_rows", lambda _: [])
    monkeypatch.setattr("safelatent.guidance.receipt.Tally.unguided_rows", lambda _: [])
    monkeypatch.setitem(globals(), "STRANGE", 0.9)
    with pytest.raises(AssertionError):
        test_no_receipt_without_gamma_and_none_for_the_unguarded_image()
