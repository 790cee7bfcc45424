from __future__ import annotations

import pytest
import torch
from diffusers import (
    ClassifierFreeGuidance,
    Flux2KleinAutoBlocks,
    FluxAutoBlocks,
    HeunDiscreteScheduler,
    PerturbedAttentionGuidance,
    PNDMScheduler,
    QwenImageEditAutoBlocks,
    StableDiffusionXLAutoBlocks,
)

from safelatent import (
    MAX,
    SLD,
    BadValueError,
    GuardError,
    NotGuardedError,
    UnsupportedError,
)
from safelatent.pipelines.modular import GuardedBlocks, guard_modular
from tests.pipelines.modular import tiny_modular
from tests.pipelines.modular.by_hand import PROMPT
from tests.pipelines.modular.tiny_modular import CALL, SIZE, present

CONCEPT = "violence, blood"
STEPS = 4


@pytest.fixture(scope="module")
def pipe():
    return tiny_modular.pipeline("sdxl")


def ask(pipe, safety=MAX, concept=CONCEPT, **changes):
    return guard_modular(pipe, safety, concept=concept)(
        **({"prompt": PROMPT, "num_inference_steps": STEPS, "output_type": "pt"} | SIZE | changes)
    )


def denoised(pipe) -> list:
    """How often the denoiser was asked, from now on."""
    calls = []
    denoiser = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    denoiser.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("family", ["z-image", "wan22"])
def test_a_disabled_guider(family):
    pipe = tiny_modular.pipeline(family)
    calls = denoised(pipe)
    name = "guider_2" if family == "wan22" else "guider"
    getattr(pipe, name).disable()
    with pytest.raises(
        NotGuardedError,
        match=rf"the {name} of this \w+ModularPipeline is disabled.*pipe.{name}.enable\(\)",
    ):
        ask(pipe, **CALL.get(family, {}))
    assert calls == []
    getattr(pipe, name).enable()
    ask(pipe, **CALL.get(family, {}))


def test_z_image_as_it_is_shipped():
    pipe = tiny_modular.z_image_as_shipped()
    with pytest.raises(NotGuardedError, match="is disabled"):
        ask(pipe)


@pytest.mark.parametrize(
    ("scale", "error", "message"),
    [
        *((off, NotGuardedError, "classifier-free guidance is off") for off in (1.0, 0.5, 0, -2.0)),
        *(
            (wrong, BadValueError, "must be a finite number above 1")
            for wrong in (float("nan"), float("inf"), 10**400, "5", True, None)
        ),
    ],
)
def test_a_guidance_scale_that_turns_guidance_off(pipe, monkeypatch, scale, error, message):
    monkeypatch.setattr(pipe.guider, "guidance_scale", scale)
    calls = denoised(pipe)
    with pytest.raises(error, match=f"guidance_scale of the guider .*{message}"):
        ask(pipe)
    assert calls == []


def test_the_other_formulation_is_off_at_zero():
    with pytest.raises(NotGuardedError, match="give a scale above 0"):
        ask(
            tiny_modular.pipeline(
                "sdxl",
                guider=ClassifierFreeGuidance(guidance_scale=0.0, use_original_formulation=True),
            )
        )


@pytest.mark.parametrize("part", [{"start": 0.5}, {"stop": 0.5}], ids=str)
def test_a_guider_for_a_part_of_the_steps(part):
    with pytest.raises(NotGuardedError, match="of the steps alone"):
        ask(
            tiny_modular.pipeline("sdxl", guider=ClassifierFreeGuidance(guidance_scale=5.0, **part))
        )


def test_a_guider_with_predictions_of_its_own():
    with pytest.raises(
        UnsupportedError,
        match="PerturbedAttentionGuidance, whose order of predictions is not known",
    ):
        guard_modular(
            tiny_modular.pipeline(
                "sdxl", guider=PerturbedAttentionGuidance(perturbed_guidance_layers=[0])
            )
        )


@pytest.mark.parametrize(
    "blocks", [FluxAutoBlocks, QwenImageEditAutoBlocks], ids=lambda b: b.__name__
)
def test_an_unknown_family(blocks):
    with pytest.raises(
        UnsupportedError,
        match="the order in which its blocks call the denoiser is not known; supported: Stable Dif",
    ):
        guard_modular(blocks().init_pipeline())


def test_distilled_models():
    pipe = Flux2KleinAutoBlocks().init_pipeline()
    pipe.update_components(scheduler=tiny_modular.FlowMatchEulerDiscreteScheduler())
    with pytest.raises(UnsupportedError, match="is distilled and makes no unconditional estimate"):
        guard_modular(pipe)
    pipe = tiny_modular.pipeline("qwen")
    pipe.transformer.register_to_config(guidance_embeds=True)
    with pytest.raises(UnsupportedError, match="is distilled"):
        guard_modular(pipe)
    pipe = tiny_modular.pipeline("sdxl")
    pipe.unet.register_to_config(time_cond_proj_dim=8)
    with pytest.raises(UnsupportedError, match="is distilled"):
        guard_modular(pipe)


def test_a_pipeline_that_encodes_no_prompt_or_is_not_loaded():
    blocks = StableDiffusionXLAutoBlocks()
    with pytest.raises(UnsupportedError, match="load_components"):
        guard_modular(blocks.init_pipeline())
    blocks.sub_blocks.pop("text_encoder")
    with pytest.raises(UnsupportedError, match="none of its blocks encodes a prompt"):
        guard_modular(blocks.init_pipeline())


def test_a_missing_package_of_the_text_encoder(monkeypatch):
    from diffusers.modular_pipelines.wan import encoders

    monkeypatch.delattr(encoders, "ftfy")
    with pytest.raises(UnsupportedError, match="pip install ftfy"):
        guard_modular(tiny_modular.pipeline("wan"))


@pytest.mark.parametrize("warmup", [STEPS, STEPS + 1])
def test_a_warm_up_of_all_steps(pipe, warmup):
    calls = denoised(pipe)
    with pytest.raises(
        NotGuardedError, match=f"the warm-up is {warmup} steps and the call has {STEPS}"
    ):
        ask(pipe, SLD(warmup=warmup))
    assert calls == []


@pytest.mark.parametrize(
    "kind", [HeunDiscreteScheduler, PNDMScheduler], ids=lambda kind: kind.__name__
)
def test_a_scheduler_that_evaluates_more_often_than_the_guiders_count(kind):
    """Plain guidance ends early there: diffusers' guiders take every evaluation for a step."""
    pipe = tiny_modular.pipeline(
        "sdxl", scheduler=kind.from_config(tiny_modular.tiny.scheduler().config)
    )
    calls = denoised(pipe)
    with pytest.raises(NotGuardedError, match="use a scheduler that evaluates once per step"):
        ask(pipe)
    assert calls == []


def test_image_to_image_so_weak_that_no_step_is_guided(pipe):
    with pytest.raises(NotGuardedError, match="the warm-up is 2 steps and the call has 1"):
        ask(pipe, SLD(warmup=2), image=torch.rand(1, 3, 16, 16), strength=0.25)


@pytest.mark.parametrize("output_type", ["latent", "pt"])
@pytest.mark.parametrize("strength", [0.0, 0.01])
def test_image_to_image_without_a_step_says_so(pipe, strength, output_type):
    with pytest.raises(NotGuardedError, match=r"took no denoising step, .* a larger strength"):
        ask(pipe, image=torch.rand(1, 3, 16, 16), strength=strength, output_type=output_type)


@pytest.mark.parametrize("family", present("sdxl", "qwen", "z-image", "flux3"))
def test_the_concept_as_prompt_or_negative_prompt(family):
    pipe = tiny_modular.pipeline(family)
    calls = denoised(pipe)
    with pytest.raises(NotGuardedError, match="the prompt is the concept itself"):
        ask(pipe, prompt=CONCEPT, **CALL.get(family, {}))
    with pytest.raises(NotGuardedError, match="the negative prompt is the concept itself"):
        ask(pipe, negative_prompt=CONCEPT, **CALL.get(family, {}))
    assert calls == []


def test_the_concept_among_longer_prompts():
    """Qwen-Image pads a batch to its longest prompt."""
    with pytest.raises(NotGuardedError, match="the prompt is the concept itself"):
        ask(
            tiny_modular.pipeline("qwen"),
            prompt=[CONCEPT, f"{PROMPT} at night"],
            negative_prompt=["", ""],
        )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("evaluation", [0, 1, 2, 8])
def test_a_number_that_is_not_finite(bad, evaluation):
    pipe, count = tiny_modular.pipeline("sdxl"), []

    def poison(_module, _inputs, output):
        count.append(1)
        if len(count) - 1 == evaluation:
            output[0].mul_(bad)

    pipe.unet.register_forward_hook(poison)
    with pytest.raises(GuardError, match="not finite"):
        ask(pipe)


def test_inputs_that_the_pipeline_would_drop(pipe):
    with pytest.raises(TypeError, match="no input 'guidance_scale'; the scale is the guider's"):
        ask(pipe, guidance_scale=5.0)
    with pytest.raises(TypeError, match=r"no input 'promt' .did you mean 'prompt'"):
        ask(pipe, promt="a cat")


def test_a_guard_around_a_guard(pipe):
    with pytest.raises(UnsupportedError, match="is guarded already"):
        guard_modular(GuardedBlocks("StableDiffusionXLAutoBlocks").init_pipeline())


def test_settings_for_another_number_of_images(pipe):
    with pytest.raises(BadValueError, match="settings for 2 images met a call that makes 1"):
        ask(pipe, [MAX, MAX])
    for wrong in ("stong", 3, None):
        with pytest.raises(BadValueError, match="safety"):
            guard_modular(pipe, wrong)


def test_a_call_without_steps_or_with_another_loop(pipe, monkeypatch):
    step = type(pipe.scheduler).step
    of_xl = tiny_modular.diffusers.modular_pipelines.stable_diffusion_xl
    loop = of_xl.denoise.StableDiffusionXLDenoiseLoopWrapper
    walk = loop.loop_step

    def twice(self, components, state, i, t):
        walk(self, components, state, i=i, t=t)
        return walk(self, components, state, i=i, t=t)

    monkeypatch.setattr(loop, "loop_step", twice)
    with pytest.raises(GuardError, match="out of the scheduler's order"):
        ask(pipe)
    monkeypatch.setattr(
        loop,
        "loop_step",
        lambda self, components, state, i, t: (
            walk(self, components, state, i=i, t=t) if i < 2 else (components, state)
        ),
    )
    with pytest.raises(NotGuardedError, match=r"saw 2 of \d+ evaluations"):
        ask(pipe)
    assert type(pipe.scheduler).step is step
