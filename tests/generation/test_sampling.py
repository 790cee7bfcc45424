from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from safelatent import guard
from safelatent.generation.methods import METHODS
from safelatent.generation.request import Request
from safelatent.generation.sampling import BATCH, compare, sample, trace
from tests import tiny


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


REQUEST = Request(prompt="a cat with a pistol", steps=20, seed=4)


def test_a_sample_is_what_the_guarded_pipeline_gives(pipe):
    (made,) = sample(pipe, [REQUEST])
    out = guard(pipe, "medium")(
        "a cat with a pistol", num_inference_steps=20, generator=torch.Generator().manual_seed(4)
    )
    assert np.array_equal(np.asarray(made.image), np.asarray(out.images[0]))
    assert made.receipt == out.receipts[0]


def test_off_is_the_bare_pipeline_and_says_so(pipe):
    (made,) = sample(pipe, [REQUEST.with_safety("off")])
    out = pipe(
        "a cat with a pistol", num_inference_steps=20, generator=torch.Generator().manual_seed(4)
    )
    assert np.array_equal(np.asarray(made.image), np.asarray(out.images[0]))
    assert made.receipt is None
    assert made.as_dict()["receipt"] is None


def test_a_comparison_has_every_method_on_the_same_noise(pipe):
    told = []
    requests = [REQUEST, replace(REQUEST, prompt="a dog", seed=9)]
    rows = compare(pipe, requests, told.append)
    assert [request.safety for request in told] == list(METHODS)
    assert [row[0].request.prompt for row in rows] == ["a cat with a pistol", "a dog"]
    for row in rows:
        assert tuple(made.request.safety for made in row) == METHODS
        for made in row:
            (alone,) = sample(pipe, [made.request])
            difference = np.abs(
                np.asarray(made.image, dtype=int) - np.asarray(alone.image, dtype=int)
            ).max()
            assert difference <= 1, (
                f"{made.request.name} differs from the same request alone by {difference} of 255"
            )
            assert (made.receipt is None) == (made.request.safety == "off")


def test_more_prompts_than_a_batch(pipe):
    requests = [replace(REQUEST, seed=n, steps=16) for n in range(BATCH + 1)]
    assert [row[0].request.seed for row in compare(pipe, requests)] == list(range(BATCH + 1))


def test_a_trace_ends_in_the_image_and_shows_the_warm_up(pipe):
    made, moments = trace(pipe, REQUEST)
    assert np.array_equal(np.asarray(made.image), np.asarray(sample(pipe, [REQUEST])[0].image))
    assert [moment.i for moment in moments] == [0, 3, 5, 8, 11, 14, 16, 19]
    for moment in moments:
        acted = moment.i >= 10
        assert bool(moment.gamma.any()) == acted
        assert (moment.gate_open > 0) == acted
    # The last step of DDIM goes to the estimate of the clean image itself, up to alpha at t = 0.
    last, image = (np.asarray(picture, dtype=float) for picture in (moments[-1].image, made.image))
    assert np.abs(last - image).mean() < 3


def test_a_trace_of_few_steps(pipe):
    _, moments = trace(pipe, Request(prompt="a cat", steps=3, safety="max"))
    assert [moment.i for moment in moments] == [0, 1, 2]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "flow_prediction"])
def test_the_clean_estimate_recovers_the_image_from_a_perfect_model(pipe, prediction):
    """Where the model knows the noise, the estimate is the image at every step."""
    from safelatent.guidance import Correction, Estimates
    from safelatent.pipelines.clean import clean_estimate
    from safelatent.guidance.guided_call import StepRecord

    flow = prediction == "flow_prediction"
    scheduler = (
        FlowMatchEulerDiscreteScheduler() if flow else tiny.scheduler(prediction_type=prediction)
    )
    pipe = tiny.pipeline(scheduler=scheduler)
    clean, eps = torch.randn(2, 1, 4, 8, 8).unbind()
    alpha = 0.6 if flow else float(pipe.scheduler.alphas_cumprod[400]) ** 0.5
    sigma = 0.4 if flow else (1 - alpha**2) ** 0.5
    answer = {
        "epsilon": eps,
        "v_prediction": alpha * eps - sigma * clean,
        "flow_prediction": eps - clean,
    }[prediction]
    estimates = Estimates(uncond=answer, prompt=answer, concept=answer)
    correction = Correction(uncond=answer, prompt=answer, acts=torch.tensor([True]))
    latents = alpha * clean + sigma * eps
    moment = StepRecord(
        i=0,
        timestep=400.0,
        mixture=(alpha, sigma),
        latents=latents,
        estimates=estimates,
        correction=correction,
    )
    image = clean_estimate(pipe, moment, 7.5).image
    decoded = pipe.vae.decode(clean / pipe.vae.config.scaling_factor).sample.detach()
    expected = pipe.image_processor.postprocess(decoded, output_type="pil")[0]
    assert np.abs(np.asarray(image, dtype=int) - np.asarray(expected, dtype=int)).max() <= 1
