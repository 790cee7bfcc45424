from __future__ import annotations

import pytest
import torch

from benchmarks.effect import effect
from safelatent.guidance import MAX, Estimates, NegativePrompt
from safelatent.guidance.ordered_call import StepRecord


def record(guidance, estimates: Estimates) -> StepRecord:
    correction, _ = guidance.correct(estimates, guidance.init(estimates.prompt), 0)
    return StepRecord(
        i=0,
        timestep=1.0,
        mixture=(0.0, 1.0),
        latents=estimates.prompt,
        estimates=estimates,
        correction=correction,
    )


def test_by_hand():
    """With the gate open everywhere: ``|e_S - e_u| / |e_p - e_u|``, and ``|e_S - e_p| / |e_p|``."""
    u, p, s = (torch.full((1, 1, 2, 2), value) for value in (0.0, 2.0, 3.0))
    of_max = effect(record(MAX, Estimates(uncond=u, prompt=p, concept=s)))
    assert of_max.tolist() == pytest.approx([1.5])
    of_baseline = effect(record(NegativePrompt(), Estimates(uncond=None, prompt=p, concept=s)))
    assert of_baseline.tolist() == pytest.approx([0.5])
