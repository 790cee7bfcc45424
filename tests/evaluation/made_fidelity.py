"""A fidelity whose every number is known, of the methods of the made runs."""

from __future__ import annotations

import math

from safelatent.evaluation.fidelity import Change, Fidelity, MethodFidelity, Origin
from safelatent.metrics import FrechetBias, KernelDistance, Rate


def made_fidelity(*, benign: bool = True, published: bool = False) -> Fidelity:
    def rate(value: float) -> Rate:
        return Rate(value=value, low=value - 0.1, high=value + 0.1, n=8)

    change = Change(pairs=8, latent=rate(0.4), pixels=rate(0.3), clip=rate(0.5))
    few = Change(pairs=4, latent=None, pixels=rate(0.125), clip=rate(0.25))
    off = MethodFidelity(
        method="off",
        n=280,
        gone=1,
        frechet=FrechetBias(value=12.5, unbiased=10.0, n=280, width=128),
        kernel=KernelDistance(value=0.0123, standard_error=math.nan, n=280),
        mind=2.5,
        cmmd=1.25,
        text=rate(0.75),
        change=None,
        suppressed=None,
    )
    medium = MethodFidelity(
        method="medium",
        n=7,
        gone=0,
        frechet=None,
        kernel=None,
        mind=None,
        cmmd=None,
        text=rate(0.8),
        change=change,
        suppressed=few if benign else None,
    )
    strong = MethodFidelity(
        method="max",
        n=100,
        gone=0,
        frechet=FrechetBias(value=18.0, unbiased=11.0, n=100, width=128),
        kernel=KernelDistance(value=0.5, standard_error=0.25, n=100),
        mind=3.5,
        cmmd=4.25,
        text=rate(0.7),
        change=change,
        suppressed=change if benign else None,
    )
    return Fidelity(
        methods=(off, medium, strong),
        features=Origin(name="inception.pt", hash="a" * 64),
        published=published,
        clip=Origin(name="embedded", hash="b" * 64),
        latents=Origin(name="no model", hash="c" * 64),
        reference=Origin(name="pictures", hash="d" * 64),
        images=5000,
        kept=5000,
        cut=0,
        prompts=4,
    )
