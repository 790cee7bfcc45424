"""The peers draw on our components, or say why they do not."""

from __future__ import annotations

import pytest

from benchmarks import peers as module
from benchmarks.peers import SAFE, SEGA, peers
from benchmarks.timing import denoiser_rows
from tests import tiny


@pytest.mark.filterwarnings("ignore")  # diffusers calls them deprecated
def test_each_evaluates_three_estimates_a_step():
    pipe = tiny.quiet(tiny.pipeline())
    found = peers(pipe)
    assert set(found) == {SAFE, SEGA}
    for name, call in found.items():
        with denoiser_rows(pipe) as rows:
            out = call(prompt=["a cat"] * 2, num_inference_steps=5, output_type="np")
        assert out.images.shape[0] == 2, name
        assert sum(rows) == 3 * 2 * 5, name


def test_what_is_not_installed_is_said(monkeypatch):
    monkeypatch.setattr(module, "HOMES", dict.fromkeys(module.HOMES, ("diffusers.none",)))
    reasons = peers(tiny.pipeline())
    assert set(reasons.values()) == {"not in the installed diffusers"}


def test_they_know_stable_diffusion_alone():
    assert set(peers(object()).values()) == {"knows Stable Diffusion 1.x alone"}
