from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from safelatent import BadValueError, guard
from safelatent.generation import sampling
from safelatent.generation.methods import METHODS
from safelatent.generation.request import DEMANDED, SAVED, Request
from safelatent.generation.sampling import compare, own_settings, sample, sample_under, trace, under
from safelatent.guidance import MEDIUM, SLD, NoiseLevel
from safelatent.policy import Policy
from tests import tiny


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


REQUEST = Request(prompt="a cat with a pistol", steps=20, seed=4, safety="medium")


@pytest.mark.parametrize("safety", [{}, {"safety": "medium"}], ids=["unasked", "medium"])
def test_a_sample_is_what_the_guarded_pipeline_gives(pipe, safety):
    (made,) = sample(pipe, [Request(prompt=REQUEST.prompt, steps=20, seed=4, **safety)])
    out = guard(pipe, **safety)(
        "a cat with a pistol", num_inference_steps=20, generator=torch.Generator().manual_seed(4)
    )
    assert np.array_equal(np.asarray(made.image), np.asarray(out.images[0]))
    assert made.receipt == out.receipts[0]


def test_no_pipeline_rewrites_a_prompt_after_the_rule_about_minors(pipe):
    class Rewriting:
        def __call__(self, prompt, clean_caption=True):
            raise NotImplementedError

    assert sampling.arguments(Rewriting(), [REQUEST])["clean_caption"] is False
    for known in (pipe, guard(pipe)):
        assert "clean_caption" not in sampling.arguments(known, [REQUEST])


def test_off_is_the_bare_pipeline_and_says_so(pipe):
    (made,) = sample(pipe, [REQUEST.with_safety("off")])
    out = pipe(
        "a cat with a pistol", num_inference_steps=20, generator=torch.Generator().manual_seed(4)
    )
    assert np.array_equal(np.asarray(made.image), np.asarray(out.images[0]))
    assert made.receipt is None
    assert made.as_dict()["receipt"] is None


def test_a_comparison_has_every_method_on_the_same_noise(pipe):
    """Every method against the same request alone, by turns for either prompt."""
    told = []
    first = replace(REQUEST, steps=30)
    requests = [first, replace(first, prompt="a dog", seed=9)]
    rows = compare(pipe, requests, told.append)
    assert [request.safety for request in told] == list(METHODS)
    assert [row[0].request.prompt for row in rows] == ["a cat with a pistol", "a dog"]
    for asked, row in zip(requests, rows, strict=True):
        assert tuple(made.request.safety for made in row) == METHODS
        for made in row:
            assert (made.receipt is None) == (made.request.safety == "off")
        for made in row[asked.seed % 2 :: 2]:
            # Not the request that ``compare`` made: its seed is what is held here.
            (alone,) = sample(pipe, [replace(asked, safety=made.request.safety)])
            difference = np.abs(
                np.asarray(made.image, dtype=int) - np.asarray(alone.image, dtype=int)
            ).max()
            assert difference <= 1, (
                f"{made.request.name} differs from the same request alone by {difference} of 255"
            )


def test_more_prompts_than_a_batch_are_each_drawn_as_alone(pipe, monkeypatch):
    monkeypatch.setattr(sampling, "BATCH", 2)
    monkeypatch.setattr(sampling, "METHODS", ("off", "max"))  # the two that are compared below
    requests = [replace(REQUEST, seed=n, steps=8) for n in range(3)]
    rows = compare(pipe, requests)
    assert [row[0].request for row in rows] == [request.with_safety("off") for request in requests]
    for row, request in zip(rows, requests, strict=True):
        for made in (row[0], row[-1]):
            (alone,) = sample(pipe, [request.with_safety(made.request.safety)])
            assert apart(made, alone) <= 1, "rounding alone"
    for one, other in ((0, 1), (1, 2)):
        assert apart(rows[one][0], rows[other][0]) > 1, "each from its own noise"


def apart(one, other) -> int:
    """The largest difference of two images, of 255."""
    levels = [np.asarray(made.image, dtype=int) for made in (one, other)]
    return int(np.abs(levels[0] - levels[1]).max())


def test_a_trace_ends_in_the_image_and_shows_the_warm_up(pipe):
    made, moments = trace(pipe, REQUEST)
    assert np.array_equal(np.asarray(made.image), np.asarray(sample(pipe, [REQUEST])[0].image))
    assert [moment.guarded.i for moment in moments] == [0, 3, 5, 8, 11, 14, 16, 19]
    for moment in moments:
        acted = moment.guarded.i >= 10
        assert bool(moment.guarded.gamma.any()) == acted
        assert (moment.guarded.gate_open > 0) == acted
    # The last step of DDIM goes to the estimate of the clean image itself, up to alpha at t = 0.
    assert difference(moments[-1].guarded.image, made.image) < 3


def test_a_trace_has_the_unguarded_image_from_the_same_noise(pipe):
    _, moments = trace(pipe, REQUEST)
    assert [m.unguarded.i for m in moments] == [m.guarded.i for m in moments]
    (off,) = sample(pipe, [REQUEST.with_safety("off")])
    assert difference(moments[-1].unguarded.image, off.image) < 3
    assert not any(moment.unguarded.gamma.any() for moment in moments)
    # In the warm-up both are the same, afterwards not.
    apart = [difference(m.unguarded.image, m.guarded.image) for m in moments]
    assert apart[:4] == [0] * 4
    assert apart[-1] > 0


def difference(first, second) -> float:
    """Mean over all levels."""
    return float(np.abs(np.asarray(first, dtype=float) - np.asarray(second, dtype=float)).mean())


def test_a_trace_of_few_steps(pipe):
    _, moments = trace(pipe, Request(prompt="a cat", steps=3, safety="max"))
    assert [moment.guarded.i for moment in moments] == [0, 1, 2]


def test_settings_replace_those_of_the_preset(pipe):
    settings = (("warmup", 2), ("scale", 1500.0), ("decay", 0.1))
    (made,) = sample(pipe, [replace(REQUEST, safety="strong", settings=settings)])
    expected = {"warmup": 2, "scale": 1500.0, "threshold": 0.025, "momentum": 0.5, "decay": 0.1}
    assert made.receipt.settings == expected
    assert made.receipt.safety is None


def test_a_warm_up_may_be_a_noise_level():
    assert own_settings(replace(REQUEST, settings=(("warmup_noise_level", 0.7),))) == SLD(
        warmup=NoiseLevel(0.7), scale=1000.0, threshold=0.01, momentum=0.3, decay=0.4
    )
    assert own_settings(REQUEST) == MEDIUM
    assert own_settings(REQUEST, flow=True) == MEDIUM.by_noise_level()
    with pytest.raises(BadValueError, match="the noise level is 2"):
        own_settings(replace(REQUEST, settings=(("warmup_noise_level", 2),)))


def test_a_pipeline_that_was_saved_guarded_is_taken_as_it_is(pipe):
    safe = guard(pipe, "max", concept="blood")
    (made,) = sample(safe, [REQUEST.with_safety(SAVED)])
    assert (made.receipt.safety, made.receipt.concept) == ("max", "blood")


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "flow_prediction"])
def test_the_clean_estimate_recovers_the_image_from_a_perfect_model(pipe, prediction):
    """Where the model knows the noise, the estimate is the image at every step."""
    from safelatent.guidance import Correction, Estimates
    from safelatent.guidance.ordered_call import StepRecord
    from safelatent.pipelines.clean import clean_estimate

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


POLICY = Policy(name="school", least="strong", concepts=("weapons",))


def asked_for(**values) -> Request:
    usual = {"prompt": "a cat", "steps": 20, "concept": POLICY.concept, "safety": DEMANDED}
    return Request(**usual | values)


@pytest.mark.parametrize(
    ("safety", "held"), [("off", "strong"), (DEMANDED, "strong"), ("weak", "strong"), ("max",) * 2]
)
def test_a_request_never_lowers_the_policy(pipe, safety, held):
    safe = under(pipe, POLICY, asked_for(safety=safety))
    made = sample_under(safe, [asked_for(safety=safety)])[0]
    assert made.receipt.receipt.safety == held
    assert made.as_dict()["decision"]["policy"]["name"] == "school"
    assert made.as_dict()["seed"] == 0


def test_own_settings_are_joined(pipe):
    asked = asked_for(safety="weak", settings=(("scale", 9000.0), ("threshold", 0.0)))
    safe = under(pipe, POLICY, asked)
    assert (safe.guidance.scale, safe.guidance.threshold) == (9000.0, 0.025)


def test_a_refused_prompt_is_no_image(pipe):
    safe = under(pipe, POLICY, asked_for())
    made = sample_under(safe, [asked_for(prompt="a knіfe")])[0]  # a Cyrillic letter
    assert made.image is None
    assert made.receipt.reason == "prompt refused"


def test_the_policys_own_concept_asks_for_nothing_more(pipe):
    """From the command line a policy is what it is in Python: no category beside its own."""
    policy = Policy(guidance="adaptive", categories={"violence": "strong"})
    safe = under(pipe, policy, asked_for(concept=policy.concept, safety=DEMANDED))
    assert safe.request == Policy()
    assert safe.guidance.names == ("violence",)
