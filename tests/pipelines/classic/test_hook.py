from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from diffusers import (
    ControlNetModel,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
)
from PIL import Image

from safelatent import (
    DEFAULT_CONCEPT,
    MAX,
    MEDIUM,
    SLD,
    WEAK,
    GuardError,
    NegativePrompt,
    NotGuardedError,
    guard,
)
from safelatent.guidance import PRESETS, Estimates, noise_unit
from safelatent.pipelines.classic import hook
from tests import tiny

STEPS = 20
PROMPT = "a cat with a pistol"


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.fixture(params=["joined", "apart"])
def concept_call(request, monkeypatch) -> str:
    """The concept in the pipeline's batch, as for small latents, and as a call of its own, as for
    large ones.
    """
    if request.param == "apart":
        monkeypatch.setattr(hook, "JOINED_UP_TO", 0)
    return request.param


def noise(rows: int = 1, seed: int = 1) -> torch.Tensor:
    return torch.randn((rows, 4, 8, 8), generator=torch.Generator().manual_seed(seed))


def call(pipeline, **changes):
    return pipeline(
        **(
            {
                "prompt": PROMPT,
                "num_inference_steps": STEPS,
                "latents": noise(),
                "output_type": "latent",
            }
            | changes
        )
    )


def snapshot(module) -> dict:
    """Everything that a hook could leave behind on a module."""
    return {
        name: value
        for name, value in vars(module).items()
        if name not in ("_parameters", "_buffers", "_modules")
    }


@torch.no_grad()
def by_hand(
    pipe, sld: SLD, scale: float = 7.5, concept: str = str(DEFAULT_CONCEPT)
) -> torch.Tensor:
    """The denoising loop written out: three separate evaluations and the step."""
    embed = lambda text: pipe.encode_prompt(text, "cpu", 1, False)[0]  # noqa: E731
    texts = [embed(""), embed(PROMPT), embed(concept)]
    latents, scheduler = noise(), pipe.scheduler
    scheduler.set_timesteps(STEPS)
    state = sld.init(latents)
    for i, t in enumerate(scheduler.timesteps):
        u, p, s = (
            pipe.unet(scheduler.scale_model_input(latents, t), t, text).sample for text in texts
        )
        unit = noise_unit(scheduler.config.prediction_type, scheduler.alphas_cumprod, float(t))
        guided, state = sld.step(Estimates(uncond=u, prompt=p, concept=s), state, i, scale, unit)
        latents = scheduler.step(guided, t, latents).prev_sample
    return latents


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_same_latents_as_the_loop_written_out(preset, prediction, concept_call):
    pipe = tiny.pipeline(scheduler=tiny.scheduler(prediction_type=prediction))
    out = call(guard(pipe, preset)).images
    torch.testing.assert_close(out, by_hand(pipe, PRESETS[preset]), atol=1e-4, rtol=1e-4)


def test_v_prediction_gates_in_units_of_noise():
    """Here the unit matters: the gate of *medium* on velocities and on noise differ."""
    pipe = tiny.pipeline(scheduler=tiny.scheduler(prediction_type="v_prediction"))
    seen = []
    guard(pipe, MEDIUM).watch(
        seen.append, PROMPT, num_inference_steps=STEPS, latents=noise(), output_type="latent"
    )
    differ = 0
    for moment in seen:
        alpha = float(pipe.scheduler.alphas_cumprod[int(moment.timestep)]) ** 0.5
        d = alpha * (moment.estimates.prompt - moment.estimates.concept)
        expected = torch.where(d < MEDIUM.threshold, (MEDIUM.scale * d).abs().clamp(max=1), 0.0)
        if moment.i >= MEDIUM.warmup:
            torch.testing.assert_close(moment.correction.gate, expected, atol=1e-5, rtol=0)
            differ += int(((d / alpha < MEDIUM.threshold) != (d < MEDIUM.threshold)).sum())
    assert differ > 0


def test_the_negative_prompt_baseline_is_the_pipelines_own(pipe):
    ours = call(guard(pipe, NegativePrompt()))
    torch.testing.assert_close(
        ours.images, call(pipe, negative_prompt=str(DEFAULT_CONCEPT)).images, atol=1e-5, rtol=1e-5
    )
    assert ours.receipts[0].evaluations == 2 * STEPS
    assert ours.receipts[0].safety == "negative prompt"


def test_the_pipeline_is_untouched_afterwards(pipe):
    before, plain = snapshot(pipe.unet), call(pipe).images
    call(guard(pipe, "max"))
    assert snapshot(pipe.unet) == before
    assert torch.equal(call(pipe).images, plain)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_pipeline_is_untouched_after_an_interrupted_call(pipe, error):
    before, plain, guarded = snapshot(pipe.unet), call(pipe).images, call(guard(pipe, "max")).images

    def stop(_pipe, i, _t, values):
        if i == 3:
            raise error
        return values

    with pytest.raises(error):
        call(guard(pipe, "max"), callback_on_step_end=stop)
    assert snapshot(pipe.unet) == before
    assert torch.equal(call(pipe).images, plain)
    assert torch.equal(call(guard(pipe, "max")).images, guarded), (
        "momentum of the interrupted call survived"
    )


def test_a_foreign_hook_on_the_denoiser_stays(pipe):
    from diffusers.hooks import HookRegistry, ModelHook

    registry = HookRegistry.check_if_exists_or_initialize(pipe.unet)
    registry.register_hook(ModelHook(), "theirs")
    try:
        before = snapshot(pipe.unet)
        call(guard(pipe, "max"))
        assert snapshot(pipe.unet) == before
        assert list(registry.hooks) == ["theirs"]
    finally:
        registry.remove_hook("theirs")
        vars(pipe.unet).pop("forward", None)
        del pipe.unet._diffusers_hook


def test_guidance_off_is_refused(pipe):
    for scale in (1.0, 0.5, 0, -3):
        with pytest.raises(NotGuardedError, match="classifier-free guidance is off"):
            call(guard(pipe, "max"), guidance_scale=scale)


@pytest.mark.parametrize("warmup", [STEPS, STEPS + 1, 1000])
def test_a_warm_up_at_or_past_the_steps_is_refused(pipe, warmup):
    evaluated = []
    with pytest.raises(
        NotGuardedError, match=f"the warm-up is {warmup} steps and the call has {STEPS}"
    ):
        guard(pipe, SLD(warmup=warmup)).watch(evaluated.append, PROMPT, num_inference_steps=STEPS)
    assert evaluated == []


def test_the_last_step_alone_is_enough(pipe):
    receipt = call(guard(pipe, SLD(warmup=STEPS - 1))).receipts[0]
    assert (receipt.guided_steps, receipt.steps) == (1, STEPS)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_concept_as_prompt_or_negative_prompt_is_refused(pipe, preset):
    concept = "violence, blood"
    for changes in (
        {"prompt": concept},
        {"prompt": "Violence,  BLOOD"},
        {"negative_prompt": concept},
    ):
        with pytest.raises(NotGuardedError, match="is the concept itself"):
            call(guard(pipe, preset, concept=concept), **changes)
    with pytest.raises(NotGuardedError, match="is the concept itself"):
        call(guard(pipe, preset, concept=concept), prompt=["a cat", concept], latents=noise(2))


def test_an_empty_prompt_is_guarded(pipe):
    receipt = call(guard(pipe, "max"), prompt="").receipts[0]
    assert receipt.guided_steps == STEPS
    assert receipt.gamma_ratio is None


def test_a_call_that_ends_early_gives_no_image(pipe):
    def interrupt(pipeline, i, _t, values):
        pipeline._interrupt = i >= 2
        return values

    with pytest.raises(NotGuardedError, match="ended after 3 evaluations"):
        call(guard(pipe, "max"), callback_on_step_end=interrupt)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(
    "safety", [MAX, WEAK, NegativePrompt()], ids=lambda safety: type(safety).__name__
)
def test_guidance_switched_off_in_the_middle_gives_no_image(pipe, safety, rows, concept_call):
    """As diffusers' own callbacks do to save time; two images would pass for ``[unconditional,
    prompt]``.
    """

    def switch_off(pipeline, i, _t, values):
        if i < 16:
            return {}
        pipeline._guidance_scale = 0.0
        return {"prompt_embeds": values["prompt_embeds"][-rows:]}

    settings = {
        "callback_on_step_end": switch_off,
        "callback_on_step_end_tensor_inputs": ["prompt_embeds"],
    }
    with pytest.raises(NotGuardedError, match=f"got {rows} latents, and {2 * rows} before"):
        call(guard(pipe, safety), latents=noise(rows), num_images_per_prompt=rows, **settings)


@pytest.mark.parametrize("steps", [2, STEPS])
def test_a_plain_call_in_the_middle_of_a_guarded_one_is_refused(pipe, steps):
    def another(pipeline, i, _t, values):
        if i == 1:
            call(pipeline, num_inference_steps=steps)
        return values

    before = snapshot(pipe.unet)
    with pytest.raises(GuardError, match="another call of this pipeline began in the middle"):
        call(guard(pipe, "max"), callback_on_step_end=another)
    assert snapshot(pipe.unet) == before


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("evaluation", [0, 1, 9, 19])
def test_a_number_that_is_not_finite_gives_no_image(pipe, bad, evaluation, concept_call):
    count = 0

    def poison(_module, _inputs, output):
        nonlocal count
        count += 1
        if count - 1 == evaluation:
            output[0][..., 0, 0] = bad
        return output

    handle = pipe.unet.register_forward_hook(poison)
    inner = pipe.unet.conv_out.register_forward_hook(lambda m, i, o: poison(m, i, (o,))[0])
    try:
        with pytest.raises(GuardError, match="not finite"):
            call(guard(pipe, "max"))
    finally:
        handle.remove()
        inner.remove()


def test_latents_that_are_not_finite_give_no_image(pipe):
    latents = noise()
    latents[0, 0, 0, 0] = float("nan")
    with pytest.raises(GuardError, match="not finite"):
        call(guard(pipe, "max"), latents=latents)


def test_settings_by_image_are_what_each_gets_alone(pipe):
    prompts, safeties = ["a cat", "the party at night", "a pirate"], ["weak", MAX, "medium"]
    latents = noise(3)
    together = call(guard(pipe, safeties), prompt=prompts, latents=latents)
    for b, (prompt, safety) in enumerate(zip(prompts, safeties, strict=True)):
        alone = call(guard(pipe, safety), prompt=prompt, latents=latents[b : b + 1])
        torch.testing.assert_close(together.images[b : b + 1], alone.images, atol=1e-4, rtol=1e-4)
        assert together.receipts[b].safety == alone.receipts[0].safety
        assert together.receipts[b].guided_steps == alone.receipts[0].guided_steps
    with pytest.raises(ValueError, match="settings for 3 images met a call that makes 2"):
        call(guard(pipe, safeties), prompt=prompts[:2], latents=latents[:2])


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        (EulerDiscreteScheduler, 1),
        (EulerAncestralDiscreteScheduler, 1),
        (DPMSolverMultistepScheduler, 1),
        (HeunDiscreteScheduler, 2),
    ],
    ids=lambda k: getattr(k, "__name__", k),
)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_every_scheduler_counts_steps_not_calls(pipe, kind, order, prediction):
    pipe = tiny.pipeline(
        scheduler=kind.from_config(tiny.scheduler(prediction_type=prediction).config)
    )
    seen = []
    receipt = (
        guard(pipe, "medium")
        .watch(seen.append, PROMPT, num_inference_steps=STEPS, generator=torch.manual_seed(0))
        .receipts[0]
    )
    assert receipt.steps == STEPS
    assert receipt.guided_steps == STEPS - MEDIUM.warmup
    calls = 2 * STEPS - 1 if order == 2 else STEPS
    assert receipt.evaluations == 3 * calls
    assert [moment.i for moment in seen] == [n // order for n in range(calls)]


def test_a_second_order_solver_updates_the_momentum_once_a_step():
    pipe = tiny.pipeline(scheduler=HeunDiscreteScheduler.from_config(tiny.scheduler().config))
    seen = []
    guard(pipe, MAX).watch(
        seen.append, PROMPT, num_inference_steps=6, generator=torch.manual_seed(0)
    )
    state = MAX.init(seen[0].latents)
    for first, second in zip(seen[0::2], [*seen[1::2], None], strict=True):
        correction, after = MAX.correct(first.estimates, state, first.i)
        assert torch.equal(correction.gamma, first.correction.gamma)
        if second is not None:
            assert torch.equal(
                MAX.correct(second.estimates, state, first.i)[0].gamma, second.correction.gamma
            )
        state = after


def test_weak_costs_135_evaluations_and_gives_the_same_image(monkeypatch, concept_call):
    """To the bit where the concept is a call of its own. Joined, batches of two stand against
    batches of three, which some processors round otherwise in the last place: there in double
    precision, where the random weights do not magnify that to anything.
    """
    pipe = tiny.pipeline().to(torch.float64 if concept_call == "joined" else torch.float32)
    latents = noise().to(pipe.unet.dtype)
    lazy = call(guard(pipe, WEAK), num_inference_steps=50, latents=latents)
    assert lazy.receipts[0].evaluations == 135
    monkeypatch.setattr(SLD, "needs_concept", lambda self, i: True)
    eager = call(guard(pipe, WEAK), num_inference_steps=50, latents=latents)
    assert eager.receipts[0].evaluations == 150
    if concept_call == "joined":
        torch.testing.assert_close(lazy.images, eager.images, atol=1e-9, rtol=0)
    else:
        assert torch.equal(lazy.images, eager.images)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(dtype):
    out = call(guard(tiny.pipeline().to(dtype), "max"), latents=noise().to(dtype))
    assert out.images.dtype == dtype
    assert out.images.isfinite().all()
    assert out.receipts[0].guided_steps == STEPS


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8))


def test_image_to_image():
    pipe = tiny.pipeline(StableDiffusionImg2ImgPipeline)
    receipt = guard(pipe, "max")(
        PROMPT, image=picture(), strength=0.5, num_inference_steps=20
    ).receipts[0]
    assert receipt.steps == receipt.guided_steps == 10
    with pytest.raises(NotGuardedError, match="the warm-up is 10 steps and the call has 4"):
        guard(pipe, "medium")(PROMPT, image=picture(), strength=0.2, num_inference_steps=20)


@pytest.mark.parametrize("channels", [4, 9])
def test_inpainting(channels):
    pipe = tiny.pipeline(StableDiffusionInpaintPipeline, in_channels=channels)
    mask = Image.new("L", (8, 8), 255)
    out = guard(pipe, "max")(
        PROMPT,
        image=picture(),
        mask_image=mask,
        height=8,
        width=8,
        num_inference_steps=6,
        strength=1.0,
    )
    assert out.receipts[0].guided_steps == 6


def test_controlnet_residuals_follow_the_batch(monkeypatch):
    torch.manual_seed(0)
    unet = tiny.parts()["unet"]
    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16,)).eval()
    for block in (
        control.controlnet_down_blocks
    ):  # zero at first, which would hide a residual that met the wrong half
        torch.nn.init.normal_(block.weight, std=0.5)
    pipe = tiny.pipeline(StableDiffusionControlNetPipeline, controlnet=control)
    arguments = {
        "image": picture(),
        "num_inference_steps": 6,
        "latents": noise(2),
        "height": 8,
        "width": 8,
        "num_images_per_prompt": 2,
    }
    joined = call(guard(pipe, "max"), **arguments)
    monkeypatch.setattr(hook, "JOINED_UP_TO", 0)
    apart = call(guard(pipe, "max"), **arguments)
    assert (
        [r.guided_steps for r in joined.receipts]
        == [r.guided_steps for r in apart.receipts]
        == [6, 6]
    )
    torch.testing.assert_close(joined.images, apart.images, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(
        joined.images,
        call(guard(pipe, "max"), **(arguments | {"controlnet_conditioning_scale": 0.0})).images,
    )
    with pytest.raises(NotGuardedError, match="guess_mode"):
        call(guard(pipe, "max"), **arguments, guess_mode=True)


def test_one_pipeline_in_two_threads_is_refused_not_mixed_up(pipe):
    inside, go_on = threading.Event(), threading.Event()

    def wait(_pipe, i, _t, values):
        if i == 0:
            inside.set()
            assert go_on.wait(30)
        return values

    results = []
    thread = threading.Thread(
        target=lambda: results.append(call(guard(pipe, "max"), callback_on_step_end=wait))
    )
    thread.start()
    assert inside.wait(30)
    try:
        with pytest.raises(GuardError, match="in the middle of another guarded call"):
            call(guard(pipe, "weak"), latents=noise())
    finally:
        go_on.set()
        thread.join()
    assert torch.equal(results[0].images, call(guard(pipe, "max")).images)
