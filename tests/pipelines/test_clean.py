"""What a step would become, decoded: with a model that knows the image, it is the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)

from safelatent.errors import UnsupportedError
from safelatent.guidance import Correction, Estimates
from safelatent.guidance.ordered_call import StepRecord
from safelatent.pipelines.clean import clean_estimate
from tests import tiny

V = {"prediction_type": "v_prediction"}
# Each with what a model that knows x_0 and eps predicts, at alpha and sigma.
MODELS = {
    "noise": (tiny.scheduler, {}, lambda x_0, eps, alpha, sigma: eps),
    "velocity": (EulerDiscreteScheduler, V, lambda x_0, eps, a, s: a * eps - s * x_0),
    "flow": (FlowMatchEulerDiscreteScheduler, {}, lambda x_0, eps, a, s: eps - x_0),
    "noise in a flow": (
        DPMSolverMultistepScheduler,
        {"use_flow_sigmas": True},
        lambda x_0, eps, a, s: eps,
    ),
    "EDM": (EDMEulerScheduler, {}, lambda x_0, eps, a, s: s * x_0 / 0.5 - a * eps),
    "EDM, velocity": (EDMEulerScheduler, V, lambda x_0, eps, a, s: a * eps - s * x_0 / 0.5),
}


def record(model, clean: torch.Tensor, eps: torch.Tensor, **changes) -> StepRecord:
    alpha, sigma = (0.6, 0.4) if "flow" in model else (0.6, 0.8)
    in_data = 0.5 if "EDM" in model else 1.0
    answer = MODELS[model][2](clean, eps, alpha, sigma)
    settings = {
        "i": 3,
        "timestep": 400.0,
        "mixture": (alpha, sigma),
        "latents": alpha * clean / in_data + sigma * eps,
        "estimates": Estimates(uncond=answer, prompt=answer, concept=answer),
        "correction": Correction(uncond=answer, prompt=answer, acts=torch.tensor([True])),
    }
    return StepRecord(**(settings | changes))


def decoded(pipe, latents: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        image = pipe.image_processor.postprocess(pipe.vae.decode(latents).sample, "pil")[0]
    return np.asarray(image, dtype=int)


@pytest.mark.parametrize("normalised", [False, True], ids=["scaled", "normalised per channel"])
@pytest.mark.parametrize("model", MODELS)
def test_the_estimate_of_a_perfect_model_is_the_image(model, normalised):
    kind, settings, _ = MODELS[model]
    pipe = tiny.pipeline(scheduler=kind(**settings))
    clean, eps = torch.randn(2, 1, 4, 8, 8).unbind()
    wanted = clean / pipe.vae.config.scaling_factor
    if normalised:  # as Playground's
        mean, std = [0.1, -0.2, 0.3, 0.0], [1.0, 2.0, 0.5, 1.5]
        pipe.vae.register_to_config(latents_mean=mean, latents_std=std)
        wanted = wanted * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    found = clean_estimate(pipe, record(model, clean, eps), 7.5)
    assert np.abs(np.asarray(found.image, dtype=int) - decoded(pipe, wanted)).max() <= 1
    assert (found.i, found.timestep, found.gate_open) == (3, 400.0, 0.0)
    assert found.gamma.shape == (8, 8)
    assert not found.gamma.any()


def test_where_the_guard_acted():
    pipe = tiny.pipeline()
    clean, eps = torch.randn(2, 1, 4, 8, 8).unbind()
    gamma, gate = torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8)
    gamma[0, :2, 3, 4], gate[0, :, :2] = -0.25, 1.0
    correction = Correction(
        uncond=eps, prompt=eps - gamma, acts=torch.tensor([True]), gamma=gamma, gate=gate
    )
    found = clean_estimate(pipe, record("noise", clean, eps, correction=correction), 7.5)
    assert found.gate_open == pytest.approx(0.25)
    assert found.gamma[3, 4] == pytest.approx(0.5)
    assert found.gamma.count_nonzero() == 1


def test_packed_latents_are_refused():
    packed = torch.zeros(1, 16, 4)
    step = record("flow", packed, packed)
    with pytest.raises(UnsupportedError, match=r"packs its latents.*leave the trace out"):
        clean_estimate(tiny.pipeline(), step, 4.0)
