from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
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
    NoiseLevel,
    NotGuardedError,
    Plan,
    UnsupportedError,
    guard,
    load,
)
from safelatent.guidance import EXACT, PRESETS, Estimates, classifier_free
from safelatent.guidance.evaluations import CallPlan, Look
from safelatent.pipelines.classic import evaluating
from tests import tiny
from tests.syncs import syncs

STEPS = 10
# The presets, with warm-ups for as few steps.
SHORT = {name: replace(sld, warmup=min(sld.warmup, STEPS // 2)) for name, sld in PRESETS.items()}
SHORT_WEAK, SHORT_MEDIUM = SHORT["weak"], SHORT["medium"]
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
        monkeypatch.setattr(evaluating, "JOINED_UP_TO", {"cpu": 0})
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
    latents, scheduler = noise().to(pipe.unet.dtype), pipe.scheduler
    scheduler.set_timesteps(STEPS)
    state = sld.init(latents)
    for i, t in enumerate(scheduler.timesteps):
        u, p, s = (
            pipe.unet(scheduler.scale_model_input(latents, t), t, text).sample for text in texts
        )
        alpha = float(scheduler.alphas_cumprod[t]) ** 0.5
        unit = 1.0 if scheduler.config.prediction_type == "epsilon" else alpha
        correction, state = sld.correct(Estimates(uncond=u, prompt=p, concept=s), state, i, unit)
        latents = scheduler.step(classifier_free(correction, scale), t, latents).prev_sample
    return latents


# Every pair of preset, prediction and way of the concept's call.
PAIRS = [
    (preset, prediction, ("joined", "apart")[(p + k) % 2])
    for p, preset in enumerate(PRESETS)
    for k, prediction in enumerate(("epsilon", "v_prediction"))
]


@pytest.mark.parametrize(("preset", "prediction", "concept_call"), PAIRS, indirect=["concept_call"])
def test_same_latents_as_the_loop_written_out(preset, prediction, concept_call):
    """In double precision: the gate is a step, which magnifies rounding."""
    pipe = tiny.pipeline(scheduler=tiny.scheduler(prediction_type=prediction)).to(torch.float64)
    out = call(guard(pipe, SHORT[preset]), latents=noise().double()).images
    torch.testing.assert_close(out, by_hand(pipe, SHORT[preset]), atol=1e-6, rtol=0)


def test_v_prediction_gates_in_units_of_noise():
    """Here the unit matters: the gate of *medium* on velocities and on noise differ."""
    pipe = tiny.pipeline(scheduler=tiny.scheduler(prediction_type="v_prediction"))
    seen = []
    guard(pipe, SHORT_MEDIUM).watch(
        seen.append, PROMPT, num_inference_steps=STEPS, latents=noise(), output_type="latent"
    )
    differ = 0
    for moment in seen:
        alpha = float(pipe.scheduler.alphas_cumprod[int(moment.timestep)]) ** 0.5
        d = alpha * (moment.estimates.prompt - moment.estimates.concept)
        expected = torch.where(d < MEDIUM.threshold, (MEDIUM.scale * d).abs().clamp(max=1), 0.0)
        if moment.i >= SHORT_MEDIUM.warmup:
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


@pytest.mark.parametrize("warmup", [STEPS // 2 + 1, STEPS, STEPS + 1, 1000])
def test_a_warm_up_of_more_than_half_of_the_steps_is_refused(pipe, warmup):
    evaluated = []
    with pytest.raises(
        NotGuardedError, match=f"the warm-up is {warmup:,} steps and the call has {STEPS}"
    ):
        guard(pipe, SLD(warmup=warmup)).watch(evaluated.append, PROMPT, num_inference_steps=STEPS)
    assert evaluated == []


def test_half_of_the_steps_is_enough(pipe):
    receipt = call(guard(pipe, SLD(warmup=STEPS // 2))).receipts[0]
    assert (receipt.guided_steps, receipt.steps) == (STEPS // 2, STEPS)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_concept_as_prompt_or_negative_prompt_is_refused(pipe, preset):
    concept, preset = "violence, blood", SHORT[preset]
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

    with pytest.raises(
        NotGuardedError, match=f"saw 3 of {STEPS} evaluations: the call ended early"
    ):
        call(guard(pipe, "max"), callback_on_step_end=interrupt)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(
    "safety", [MAX, SHORT_WEAK, NegativePrompt()], ids=["max", "weak", "negative prompt"]
)
def test_guidance_switched_off_in_the_middle_gives_no_image(pipe, safety, rows, concept_call):
    """As diffusers' own callbacks do to save time; two images would pass for ``[unconditional,
    prompt]``.
    """

    def switch_off(pipeline, i, _t, values):
        if i < 8:
            return {}
        pipeline._guidance_scale = 0.0
        return {"prompt_embeds": values["prompt_embeds"][-rows:]}

    settings = {
        "callback_on_step_end": switch_off,
        "callback_on_step_end_tensor_inputs": ["prompt_embeds"],
    }
    with pytest.raises(NotGuardedError, match="classifier-free guidance is off"):
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
@pytest.mark.parametrize("evaluation", [0, 1, 9])
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


def test_settings_for_each_image_are_what_each_gets_alone():
    """In double precision: a large scale is a large factor on rounding."""
    pipe = tiny.pipeline().to(torch.float64)
    prompts, safeties = (
        ["a cat", "the party at night", "a pirate"],
        [SHORT_WEAK, "max", SHORT_MEDIUM],
    )
    latents = noise(3).double()
    together = call(guard(pipe, safeties), prompt=prompts, latents=latents)
    for b, (prompt, safety) in enumerate(zip(prompts, safeties, strict=True)):
        alone = call(guard(pipe, safety), prompt=prompt, latents=latents[b : b + 1])
        torch.testing.assert_close(together.images[b : b + 1], alone.images, atol=1e-6, rtol=0)
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
        guard(pipe, SHORT_MEDIUM)
        .watch(seen.append, PROMPT, num_inference_steps=STEPS, generator=torch.manual_seed(0))
        .receipts[0]
    )
    assert receipt.steps == STEPS
    assert receipt.guided_steps == STEPS - SHORT_MEDIUM.warmup
    calls = 2 * STEPS - 1 if order == 2 else STEPS
    # A solver's second look does not move the momentum: in the warm-up it needs no concept.
    assert receipt.evaluations == 3 * calls - (order - 1) * SHORT_MEDIUM.warmup
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


@pytest.mark.parametrize("plan", ["exact", "concept=3"])
def test_adaptive_guidance_of_a_second_order_solver(plan):
    """A further look has the momentum of the step's start, and what its first look chose."""
    pipe = tiny.pipeline(scheduler=HeunDiscreteScheduler.from_config(tiny.scheduler().config))
    receipt = call(guard(pipe, "adaptive", plan=plan), num_inference_steps=20).receipts[0]
    assert receipt.steps == 20
    assert receipt.guided_steps >= 13
    assert receipt.categories[0]["step"] == 0


def test_weak_costs_135_evaluations_and_gives_the_same_image(monkeypatch, concept_call):
    """To the bit where the concept is a separate call. Joined, batches of two stand against
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
        torch.testing.assert_close(lazy.images, eager.images, atol=1e-12, rtol=1e-12)
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
        guard(pipe, MEDIUM)(PROMPT, image=picture(), strength=0.2, num_inference_steps=20)


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


def test_inpainting_of_a_crop():
    """Diffusers pastes the crop into the picture, and so takes no latents for output."""
    pipe = tiny.pipeline(StableDiffusionInpaintPipeline, in_channels=9)
    mask = Image.new("L", (8, 8), 0)
    mask.paste(255, (2, 2, 6, 6))
    out = guard(pipe, "max")(
        PROMPT,
        image=picture(),
        mask_image=mask,
        padding_mask_crop=1,
        height=8,
        width=8,
        num_inference_steps=3,
        strength=1.0,
    )
    assert out.receipts[0].guided_steps == 3
    assert out.images[0].size == (8, 8)


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
    monkeypatch.setattr(evaluating, "JOINED_UP_TO", {"cpu": 0})
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
    control.register_to_config(global_pool_conditions=True)
    with pytest.raises(NotGuardedError, match="global_pool_conditions, which switches guess_mode"):
        call(guard(pipe, "max"), **arguments)


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
            call(guard(pipe, "max"), latents=noise())
    finally:
        go_on.set()
        thread.join()
    assert torch.equal(results[0].images, call(guard(pipe, "max")).images)


def changing(**tensors):
    """A call that puts ``tensors`` in after step 3."""

    def change(_pipe, i, _t, _values):
        return tensors if i == 3 else {}

    return {
        "callback_on_step_end": change,
        "callback_on_step_end_tensor_inputs": list(tensors),
    }


def embedded(pipe, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Of a text and of none."""
    return pipe.encode_prompt(text, "cpu", 1, True)


@pytest.mark.parametrize("safety", [MAX, NegativePrompt()], ids=["max", "negative prompt"])
def test_the_concept_put_in_by_a_callback_is_refused(pipe, safety, concept_call):
    concept, empty = embedded(pipe, str(DEFAULT_CONCEPT))
    with pytest.raises(NotGuardedError, match="the prompt is the concept itself"):
        call(guard(pipe, safety), **changing(prompt_embeds=torch.cat([empty, concept])))


def test_the_concept_put_in_as_negative_prompt_by_a_callback_is_refused(pipe):
    concept, _ = embedded(pipe, str(DEFAULT_CONCEPT))
    prompt, _ = embedded(pipe, PROMPT)
    with pytest.raises(NotGuardedError, match="the negative prompt is the concept itself"):
        call(guard(pipe, "max"), **changing(prompt_embeds=torch.cat([concept, prompt])))


def test_a_scheduler_put_in_by_a_callback_is_refused(pipe):
    """Even one of the same class: it may take the predictions for something else."""

    def replaces(inner, i, _t, values):
        if i == 1:
            own = inner.scheduler.config
            inner.scheduler = type(inner.scheduler).from_config(own, prediction_type="v_prediction")
            inner.scheduler.set_timesteps(STEPS)
        return values

    with pytest.raises(NotGuardedError, match="the scheduler was replaced in the middle"):
        call(guard(pipe, "max"), callback_on_step_end=replaces)


def test_a_denoiser_put_in_by_a_callback_is_refused(pipe):
    def replaces(inner, i, _t, values):
        if i == 1:
            inner.unet = tiny.unet().eval()
        return values

    with pytest.raises(NotGuardedError, match=r"saw 2 of .* denoiser was replaced"):
        call(guard(pipe, "max"), callback_on_step_end=replaces)


def test_embeddings_changed_in_place_are_seen(pipe):
    concept, _ = embedded(pipe, str(DEFAULT_CONCEPT))

    def change(_pipe, i, _t, values):
        if i == 3:
            values["prompt_embeds"][1:] = concept
        return {}

    settings = {
        "callback_on_step_end": change,
        "callback_on_step_end_tensor_inputs": ["prompt_embeds"],
    }
    with pytest.raises(NotGuardedError, match="the prompt is the concept itself"):
        call(guard(pipe, "max"), **settings)


def test_what_a_watcher_writes_changes_no_image(pipe):
    def undo(step):
        step.correction.prompt.copy_(step.estimates.prompt)
        step.correction.uncond.copy_(step.estimates.uncond)

    settings = {"prompt": PROMPT, "num_inference_steps": STEPS, "latents": noise()}
    written = guard(pipe, "max").watch(undo, **settings, output_type="latent")
    assert torch.equal(written.images, call(guard(pipe, "max")).images)


@pytest.mark.parametrize("in_place", [False, True])
def test_adaptive_guidance_chooses_anew_for_a_text_put_in_by_a_callback(pipe, in_place):
    """What the first text led to, and how much of the guidance it got, is not true of another."""
    prompt, empty = embedded(pipe, PROMPT)

    def change(_pipe, i, _t, values):
        if i != 3:
            return {}
        if in_place:
            values["prompt_embeds"][1:] = prompt
            return {}
        return {"prompt_embeds": torch.cat([empty, prompt])}

    settings = {
        "callback_on_step_end": change,
        "callback_on_step_end_tensor_inputs": ["prompt_embeds"],
        "num_inference_steps": 20,
    }
    other = call(guard(pipe, "adaptive"), **settings | {"prompt": "a picture"}).receipts[0]
    assert [one["step"] for one in other.categories] == [0, 4, 7, 14]
    same = call(guard(pipe, "adaptive"), **settings)
    assert [one["step"] for one in same.receipts[0].categories] == [0, 7, 14]
    assert torch.equal(same.images, call(guard(pipe, "adaptive"), num_inference_steps=20).images)


def test_rows_doubled_by_a_callback_are_refused(pipe):
    """Guidance off and twice the latents would pass for ``[unconditional, prompt]``."""
    prompt, empty = embedded(pipe, PROMPT)

    def change(pipeline, i, _t, values):
        if i > 0:
            return {}
        pipeline._guidance_scale = off
        latents = torch.cat([values["latents"]] * 2)
        return {"latents": latents, "prompt_embeds": torch.cat(texts)}

    settings = {
        "callback_on_step_end": change,
        "callback_on_step_end_tensor_inputs": ["prompt_embeds", "latents"],
    }
    off, texts = 1.0, [prompt, prompt]
    with pytest.raises(NotGuardedError, match="classifier-free guidance is off"):
        call(guard(pipe, "max"), **settings)
    off, texts = 7.5, [empty, empty, prompt, prompt]
    with pytest.raises(NotGuardedError, match="the batch changed in the middle"):
        call(guard(pipe, "max"), **settings)


@pytest.mark.parametrize("safety", ["max", NegativePrompt()], ids=str)
def test_latents_enlarged_by_a_callback_are_refused(pipe, safety):
    def enlarge(_pipeline, i, _t, values):
        latents = values["latents"]
        return {"latents": latents.repeat(1, 1, 2, 2) if i == 1 else latents}

    assert call(pipe, callback_on_step_end=enlarge).images.shape[-2:] == (16, 16)
    with pytest.raises(NotGuardedError, match="leave their size as it is to the end"):
        call(guard(pipe, safety), callback_on_step_end=enlarge)


def test_the_baseline_refuses_the_concept_and_a_negative_prompt(pipe):
    safe = guard(pipe, NegativePrompt(), concept="violence, blood")
    with pytest.raises(NotGuardedError, match="the prompt is the concept itself"):
        call(safe, prompt="violence, blood")
    for given in ("a dog", ["a dog"]):
        prompt = [PROMPT] if isinstance(given, list) else PROMPT
        with pytest.raises(NotGuardedError, match=r"negative_prompt would be dropped"):
            call(safe, prompt=prompt, negative_prompt=given)
    with pytest.raises(NotGuardedError, match=r"negative_prompt_embeds would be dropped"):
        call(safe, negative_prompt_embeds=embedded(pipe, "a dog")[0])
    assert call(safe, negative_prompt=" ").receipts[0].guided_steps == STEPS


@pytest.mark.parametrize("steps", [2, STEPS])
def test_numbers_that_overflow_give_no_image(pipe, steps):
    with pytest.raises(GuardError, match="the guided estimate at step 0 is not finite"):
        call(guard(pipe, "max"), guidance_scale=1e308, num_inference_steps=steps)


@pytest.mark.parametrize("kind", ["latent", "pil", "np", "pt"])
def test_what_a_callback_breaks_at_the_end_gives_no_image(pipe, kind):
    def poison(_pipe, i, _t, values):
        if i == STEPS - 1:
            values["latents"][0, 0, 0, 0] = float("nan")
        return {}

    with pytest.raises(GuardError, match="not finite"):
        call(
            guard(pipe, "max"),
            callback_on_step_end=poison,
            callback_on_step_end_tensor_inputs=["latents"],
            output_type=kind,
        )
    assert not pipe.vae.decoder._forward_hooks
    assert not pipe.vae.decoder._forward_pre_hooks


def test_arguments_reach_a_wrapped_denoiser_as_the_pipeline_gives_them(monkeypatch):
    """As DeepCache has it: the timestep is the second by position."""
    pipe, seen = tiny.pipeline(), []
    forward = pipe.unet.forward
    plain = call(pipe).images

    def wrapper(*args, **kwargs):
        seen.append((float(args[1]), sorted(kwargs)))
        return forward(*args, **kwargs)

    monkeypatch.setattr(pipe.unet, "forward", wrapper)
    assert torch.equal(call(pipe).images, plain)
    theirs = seen.copy()
    seen.clear()
    guarded = call(guard(pipe, "max")).images
    assert seen == theirs
    assert pipe.unet.forward is wrapper
    monkeypatch.undo()
    torch.testing.assert_close(call(guard(pipe, "max")).images, guarded, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("safety", [SHORT_WEAK, "max", NegativePrompt()], ids=str)
@pytest.mark.parametrize("size", [8, 33])  # up to 32 x 32 positions the concept joins the batch
def test_a_wrapper_that_caches_the_batch_sees_one_batch(monkeypatch, safety, size):
    """Every second evaluation gets the middle block's features of the one before it, as DeepCache
    has it: with batches of another size in between it would fail, or mix texts.
    """
    pipe, kept, sizes = tiny.pipeline(), [], set()
    forward = pipe.unet.mid_block.forward

    def cached(*args, **kwargs):
        sizes.add(len(args[0]))
        kept.append(forward(*args, **kwargs) if len(kept) % 2 == 0 else kept[-1])
        return kept[-1]

    monkeypatch.setattr(pipe.unet.mid_block, "forward", cached)
    latents = torch.randn((1, 4, size, size), generator=torch.Generator().manual_seed(1))
    receipt = call(guard(pipe, safety), latents=latents).receipts[0]
    assert len(kept) == STEPS
    assert sizes == {2 if isinstance(safety, NegativePrompt) else 3}
    assert receipt.evaluations == STEPS * sizes.pop()


@pytest.fixture(scope="module")
def trained():
    """A model to which the words matter."""
    pipe = load("embedded")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def shuffled(pipe) -> tuple[torch.Tensor, torch.Tensor]:
    """The concept's embeddings in another order, which cross-attention does not see, and none."""
    concept, empty = pipe.encode_prompt(str(DEFAULT_CONCEPT), "cpu", 1, True)
    order = torch.randperm(concept.shape[1], generator=torch.Generator().manual_seed(0))
    return concept[:, order], empty


def drawn(pipe, safety, **arguments):
    given = {"num_inference_steps": 6, "generator": torch.manual_seed(0)}
    return guard(pipe, safety)(**(given | arguments), output_type="latent").receipts


@pytest.mark.slow
@pytest.mark.parametrize("safety", [*PRESETS, "negative prompt"])
def test_what_acts_like_the_concept_gives_no_image(trained, safety):
    """The receipt would say that every step was guided."""
    sld = PRESETS.get(safety)
    guidance = NegativePrompt() if sld is None else sld.by_noise_level()
    concept, empty = shuffled(trained)
    as_negative = {} if sld is None else {"negative_prompt_embeds": empty}
    with pytest.raises(NotGuardedError, match="changed next to nothing of image 0"):
        drawn(trained, guidance, prompt_embeds=concept, **as_negative)
    if sld is not None:
        with pytest.raises(NotGuardedError, match="changed next to nothing of image 0"):
            drawn(trained, guidance, prompt="a pirate", negative_prompt_embeds=concept)
    prompts = ["a pirate with a pistol", "a cat", ""]
    assert all(one.guided_steps > 0 for one in drawn(trained, guidance, prompt=prompts))


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 2])
def test_what_acts_like_the_concept_from_the_middle_on_gives_no_image(trained, step):
    concept, empty = shuffled(trained)

    def change(_pipe, i, _t, _values):
        return {"prompt_embeds": torch.cat([empty, concept])} if i == step else {}

    settings = {
        "callback_on_step_end": change,
        "callback_on_step_end_tensor_inputs": ["prompt_embeds"],
    }
    with pytest.raises(NotGuardedError, match="changed next to nothing of image 0"):
        drawn(trained, "max", prompt="a pirate with a pistol", **settings)


# Plans of evaluations.


@pytest.fixture
def batches(monkeypatch):
    """How many rows the denoiser's last layer sees in each of its calls, counted there."""

    def of(pipe) -> list[int]:
        seen: list[int] = []
        forward = type(pipe.unet.conv_out).forward

        def counted(module, x):
            if module is pipe.unet.conv_out:
                seen.append(len(x))
            return forward(module, x)

        monkeypatch.setattr(type(pipe.unet.conv_out), "forward", counted)
        return seen

    return of


def everything(self, guidance, levels, *, order=1, evaluations=None, **_) -> CallPlan:
    whole = Look(uncond="evaluated", concept="evaluated")
    return CallPlan((whole,) * (evaluations or order * len(levels)))


@pytest.mark.parametrize(
    ("sld", "kind", "expected"),
    [
        (SHORT_WEAK, DDIMScheduler, 2 * STEPS + 5),
        (SHORT_MEDIUM, DDIMScheduler, 3 * STEPS),
        (MAX, DDIMScheduler, 3 * STEPS),
        (SHORT_MEDIUM, HeunDiscreteScheduler, 3 * 19 - 5),
        (SHORT_WEAK, HeunDiscreteScheduler, 3 * 19 - 10),
    ],
    ids=str,
)
def test_exact_leaves_out_what_cannot_change_the_image(
    monkeypatch, concept_call, batches, sld, kind, expected
):
    """In double precision, to rounding: against a call that evaluates everything at every look."""
    pipe = tiny.pipeline(scheduler=kind.from_config(tiny.scheduler().config)).to(torch.float64)
    seen, latents = batches(pipe), noise().double()
    exact = call(guard(pipe, sld), latents=latents)
    assert exact.receipts[0].evaluations == sum(seen) == expected
    seen.clear()
    monkeypatch.setattr(Plan, "on", everything)
    whole = call(guard(pipe, sld), latents=latents)
    looks = 2 * STEPS - 1 if kind is HeunDiscreteScheduler else STEPS
    assert whole.receipts[0].evaluations == sum(seen) == 3 * looks
    torch.testing.assert_close(exact.images, whole.images, atol=1e-12, rtol=0)


FAST = Plan(concept=3, uncond=2, until=NoiseLevel(0.5))


@torch.no_grad()
def by_hand_with(plan: Plan, pipe, sld: SLD, scale: float = 7.5) -> torch.Tensor:
    """The loop written out, with the plan's directions reused."""
    embed = lambda text: pipe.encode_prompt(text, "cpu", 1, False)[0]  # noqa: E731
    empty, prompt, concept = (embed(text) for text in ("", PROMPT, str(DEFAULT_CONCEPT)))
    latents, scheduler = noise().double(), pipe.scheduler
    scheduler.set_timesteps(STEPS)
    levels = [
        float((1 - a).sqrt() / (a.sqrt() + (1 - a).sqrt()))
        for a in scheduler.alphas_cumprod[scheduler.timesteps]
    ]
    state, looks = sld.init(latents), plan.on(sld, levels).looks
    of_u = of_s = torch.empty(0)  # the first step evaluates both
    for i, (t, look) in enumerate(zip(scheduler.timesteps, looks, strict=True)):
        p = pipe.unet(latents, t, prompt).sample
        if not look.guided:
            latents = scheduler.step(p, t, latents).prev_sample
            continue
        if look.uncond == "evaluated":
            of_u = p - pipe.unet(latents, t, empty).sample
        u = p - of_u
        if look.concept == "evaluated":
            of_s = pipe.unet(latents, t, concept).sample - u
        correction, state = sld.correct(Estimates(uncond=u, prompt=p, concept=u + of_s), state, i)
        latents = scheduler.step(classifier_free(correction, scale), t, latents).prev_sample
    return latents


@pytest.mark.parametrize("sld", [SHORT["strong"], MAX], ids=["strong", "max"])
def test_a_fast_plan_gives_the_latents_of_the_loop_written_out(concept_call, batches, sld):
    pipe = tiny.pipeline().to(torch.float64)
    expected, seen = by_hand_with(FAST, pipe, sld), batches(pipe)
    out = call(guard(pipe, sld, plan=FAST), latents=noise().double())
    torch.testing.assert_close(out.images, expected, atol=1e-6, rtol=0)
    receipt = out.receipts[0]
    assert receipt.evaluations == sum(seen) < 2 * STEPS
    assert receipt.plan == str(FAST)
    assert receipt.guided_steps < receipt.steps == STEPS


def test_a_plan_counts_for_every_image_of_a_batch_as_for_one(pipe):
    together = call(guard(pipe, "max", plan=FAST), prompt=[PROMPT] * 2, latents=noise(2))
    alone = call(guard(pipe, "max", plan="concept=3,uncond=2,until=0.5"), latents=noise(2)[:1])
    torch.testing.assert_close(together.images[:1], alone.images, atol=1e-4, rtol=1e-4)
    assert together.receipts[0].evaluations == alone.receipts[0].evaluations


def test_a_plan_and_a_replaced_forward_are_not_mixed(monkeypatch):
    pipe = tiny.pipeline()
    forward = pipe.unet.mid_block.forward
    monkeypatch.setattr(pipe.unet.mid_block, "forward", lambda *a, **k: forward(*a, **k))
    assert call(guard(pipe, "max")).receipts
    with pytest.raises(
        UnsupportedError,
        match=r"the plan is 'concept=5', and the forward of this unet.*was replaced.*"
        "take plan='exact', or put the original back",
    ):
        call(guard(pipe, "max", plan="concept=5"))


def reads(pipeline) -> int:
    """From 10 to 16 steps: what a call reads once does not count."""
    found = []
    for steps in (10, 16):
        with syncs() as counted:
            call(pipeline, prompt=[PROMPT] * 2, latents=noise(2), num_inference_steps=steps)
        found.append(len(counted))
    return found[1] - found[0]


@pytest.fixture(scope="module")
def plain_reads(pipe):
    return reads(pipe)


@pytest.mark.parametrize(
    ("safety", "plan"),
    [("max", EXACT), ("max", FAST), (SHORT_WEAK, EXACT), ([SHORT_WEAK, "max"], FAST)],
    ids=str,
)
def test_a_guarded_step_reads_no_more_than_a_plain_one(pipe, plain_reads, safety, plan):
    assert reads(guard(pipe, safety, plan=plan)) == plain_reads
