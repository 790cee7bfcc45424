from __future__ import annotations

import threading

import pytest
import torch
from diffusers import (
    AdaptiveProjectedGuidance,
    ClassifierFreeGuidance,
    ClassifierFreeZeroStarGuidance,
    TangentialClassifierFreeGuidance,
)

from safelatent import MAX, SLD, NoiseLevel, Plan, UnsupportedError
from safelatent.pipelines.modular import guard_modular
from tests.pipelines.modular import tiny_modular
from tests.pipelines.modular.by_hand import CONCEPT, PROMPT, by_hand, call, recorded
from tests.syncs import syncs

SETTINGS = SLD(warmup=1, scale=1000, threshold=0.01, momentum=0.3, decay=0.4)
STEPS = 4
CALL = {"prompt": PROMPT, "num_inference_steps": STEPS, "output_type": "pt"} | tiny_modular.SIZE
INNER = {
    "rescaled": lambda: ClassifierFreeGuidance(guidance_scale=6.0, guidance_rescale=0.7),
    "cond + s (cond - uncond)": lambda: ClassifierFreeGuidance(
        guidance_scale=2.0, use_original_formulation=True
    ),
    "apg": lambda: AdaptiveProjectedGuidance(
        guidance_scale=6.0, adaptive_projected_guidance_momentum=-0.5
    ),
    "zero star": lambda: ClassifierFreeZeroStarGuidance(guidance_scale=6.0, zero_init_steps=1),
    "tangential": lambda: TangentialClassifierFreeGuidance(guidance_scale=6.0),
}


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("family", tiny_modular.present("sdxl", "sd3", "z-image"))
def test_the_pipelines_own_guider_combines_the_corrected_estimates(family, inner):
    pipe = tiny_modular.pipeline(family, guider=INNER[inner]())
    arguments = CALL | tiny_modular.CALL.get(family, {})
    loop = by_hand(family, pipe, SETTINGS, arguments, combine=Alone(INNER[inner]()))
    with recorded(pipe) as seen:
        call(guard_modular(pipe, SETTINGS, concept=CONCEPT), arguments)
    for (noise, latents), step in zip(loop, seen.steps, strict=True):
        torch.testing.assert_close(step[0], noise, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(step[2], latents, atol=1e-4, rtol=1e-4)


class Alone:
    """A guider of diffusers by itself: told the step, given ``c - gamma`` and ``u``."""

    def __init__(self, guider):
        self.guider, self.step = guider, 0

    def __call__(self, u, shifted, c, _scale):
        self.guider.set_state(self.step, STEPS, None)
        self.guider.prepare_inputs({"encoder_hidden_states": (c, u)})
        self.step += 1
        return self.guider.forward(shifted, u).pred


def everything(pipe) -> dict:
    """What a guarded call could leave behind on a pipeline and on its guider."""
    return {
        **vars(pipe),
        "blocks": list(pipe._blocks.sub_blocks.items()),
        "its guider": dict(vars(pipe.guider)),
    }


def test_nothing_is_left_in_the_pipeline():
    pipe = tiny_modular.pipeline("sdxl", guider=INNER["apg"]())
    plain, before = call(pipe, CALL).images, everything(pipe)
    first = call(guard_modular(pipe, MAX, concept=CONCEPT), CALL).images
    assert everything(pipe) == before
    assert torch.equal(call(pipe, CALL).images, plain)
    assert torch.equal(call(guard_modular(pipe, MAX, concept=CONCEPT), CALL).images, first)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_after_an_interrupted_call(error):
    pipe = tiny_modular.pipeline("sdxl")
    plain, guarded, before = (
        call(pipe, CALL).images,
        call(guard_modular(pipe, MAX, concept=CONCEPT), CALL).images,
        everything(pipe),
    )

    def stop(moment):
        if moment.i == 2:
            raise error

    with pytest.raises(error):
        guard_modular(pipe, MAX, concept=CONCEPT).watch(stop, **CALL)
    assert everything(pipe) == before
    assert torch.equal(call(pipe, CALL).images, plain)
    assert torch.equal(call(guard_modular(pipe, MAX, concept=CONCEPT), CALL).images, guarded)


def test_two_calls_at_once_on_one_pipeline_are_both_right():
    pipe = tiny_modular.pipeline("sdxl")
    noise = [
        torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(seed))
        for seed in (1, 2)
    ]
    mild, most = (guard_modular(pipe, safety, concept=CONCEPT) for safety in (SETTINGS, MAX))
    alone = [
        safe(**CALL, latents=latents).images
        for safe, latents in zip((mild, most), noise, strict=True)
    ]
    inside, go_on, results = threading.Event(), threading.Event(), []

    def wait(moment):
        if moment.i == 1:
            inside.set()
            assert go_on.wait(60)

    thread = threading.Thread(
        target=lambda: results.append(mild.watch(wait, **CALL, latents=noise[0]).images)
    )
    thread.start()
    assert inside.wait(60)
    try:
        between = most(**CALL, latents=noise[1]).images
    finally:
        go_on.set()
        thread.join()
    assert torch.equal(results[0], alone[0])
    assert torch.equal(between, alone[1])


@pytest.mark.parametrize("family", tiny_modular.present("sdxl", "sd3", "qwenimage", "z-image"))
def test_a_plan_is_followed_and_counted(family):
    """Against the concept's every second direction by hand: what the denoiser saw is counted."""
    pipe = tiny_modular.pipeline(family)
    arguments = CALL | tiny_modular.CALL.get(family, {}) | {"num_inference_steps": 6}
    plan = Plan(concept=2, uncond=2)
    seen = []
    safe = guard_modular(pipe, SETTINGS, concept=CONCEPT, plan=plan)
    state = safe.watch(seen.append, **arguments)
    receipt = state.get("receipts")[0]
    assert (receipt.evaluations, receipt.plan) == (3 * 3 + 3, "concept=2,uncond=2")
    for first, second in zip(seen[0::2], seen[1::2], strict=True):
        a, b = first.estimates, second.estimates
        torch.testing.assert_close(b.prompt - b.uncond, a.prompt - a.uncond, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(b.concept - b.uncond, a.concept - a.uncond, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", tiny_modular.present("sdxl", "sd3"))
def test_one_evaluation_serves_both(family):
    pipe = tiny_modular.pipeline(family)
    arguments = CALL | tiny_modular.CALL.get(family, {}) | {"num_inference_steps": 6}
    seen = []
    safe = guard_modular(pipe, SETTINGS, concept=CONCEPT, plan=Plan(either=1))
    receipt = safe.watch(seen.append, **arguments).get("receipts")[0]
    assert (receipt.evaluations, receipt.plan) == (2 * 6 + 1, "either=1")
    of = lambda e: (e.prompt - e.uncond, e.concept - e.prompt)  # noqa: E731
    kept = [
        [torch.allclose(x, y, atol=1e-5) for x, y in zip(of(a), of(b), strict=True)]
        for a, b in zip([s.estimates for s in seen], [s.estimates for s in seen[1:]], strict=False)
    ]
    assert {tuple(one) for one in kept} == {(True, False), (False, True)}


def test_texts_that_are_lists_cannot_share_an_evaluation():
    (family,) = tiny_modular.present("z-image") or pytest.skip("this release has no Z-Image")
    pipe = tiny_modular.pipeline(family)
    safe = guard_modular(pipe, SETTINGS, concept=CONCEPT, plan="either=1")
    with pytest.raises(UnsupportedError, match="one evaluation cannot serve"):
        safe(**(CALL | tiny_modular.CALL.get(family, {}) | {"num_inference_steps": 6}))


def test_where_guidance_ended_every_guider_gives_the_prompts_prediction():
    for name in INNER:
        pipe = tiny_modular.pipeline("sdxl", guider=INNER[name]())
        plan, seen = Plan(until=NoiseLevel(0.5)), []
        arguments = CALL | {"num_inference_steps": 10}
        with recorded(pipe) as noise:
            guard_modular(pipe, SETTINGS, concept=CONCEPT, plan=plan).watch(
                seen.append, **arguments
            )
        ended = [k for k, step in enumerate(seen) if step.estimates.uncond is None]
        assert 0 < len(ended) < 10
        for k in ended:
            torch.testing.assert_close(
                noise.steps[k][0], seen[k].estimates.prompt, atol=1e-4, rtol=1e-4
            )


@pytest.mark.parametrize("plan", ["exact", "concept=3,uncond=2,until=0.5"])
def test_a_guarded_step_reads_no_more_than_a_plain_one(plan):
    pipe = tiny_modular.pipeline("sdxl")

    def reads(pipeline, steps: int) -> int:
        with syncs() as counted:
            call(pipeline, CALL | {"num_inference_steps": steps})
        return len(counted)

    safe = guard_modular(pipe, SETTINGS, concept=CONCEPT, plan=plan)
    plain, guarded = (reads(p, 16) - reads(p, 10) for p in (pipe, safe))
    assert guarded <= plain
