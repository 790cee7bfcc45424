"""A guarded pipeline in ordinary scripts: each idiom is run on one, as people write it."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re

import diffusers
import numpy as np
import pytest
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)
from PIL import Image

from safelatent import (
    MAX,
    MEDIUM,
    SLD,
    BadValueError,
    Guarded,
    NegativePrompt,
    UnsupportedError,
    guard,
    load,
)
from tests import tiny

PROMPT = "a pirate with a pistol"
CALL = {"prompt": PROMPT, "num_inference_steps": 4, "output_type": "np"}


@pytest.fixture
def pipe():
    return tiny.pipeline()


@pytest.fixture
def safe(pipe):
    return guard(pipe, "max", concept="weapons, blood")


def draw(safe, **changes):
    out = safe(**(CALL | {"generator": torch.Generator().manual_seed(0)} | changes))
    assert len(out.receipts) == len(out.images)
    assert all(receipt.guided_steps == receipt.steps for receipt in out.receipts)
    return out.images


# Scripts: what people write between the pipeline and its pictures. Each returns pictures.


def another_scheduler(pipe):
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    return draw(pipe)


def euler_with_karras_sigmas(pipe):
    pipe.scheduler = EulerDiscreteScheduler.from_config(
        pipe.scheduler.config, use_karras_sigmas=True
    )
    return draw(pipe)


def scheduler_registered(pipe):
    pipe.register_modules(scheduler=EulerDiscreteScheduler.from_config(pipe.scheduler.config))
    return draw(pipe)


def lora(pipe, tmp_path):
    from peft import LoraConfig

    torch.manual_seed(1)
    pipe.unet.add_adapter(
        LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False), "style"
    )
    pipe.set_adapters(["style"], adapter_weights=[2.0])
    pipe.save_lora_weights(tmp_path, unet_lora_layers=_lora_layers(pipe))
    pipe.delete_adapters("style")
    weights = "pytorch_lora_weights.safetensors"
    pipe.load_lora_weights(tmp_path, weight_name=weights, adapter_name="again")
    assert pipe.get_active_adapters() == ["again"]
    pipe.fuse_lora(lora_scale=2.0)
    return draw(pipe)


def _lora_layers(pipe):
    from peft import get_peft_model_state_dict

    return get_peft_model_state_dict(pipe.unet, adapter_name="style")


def textual_inversion(pipe):
    pipe.load_textual_inversion({"<style>": torch.full((32,), 3.0)}, token="<style>")
    return draw(pipe, prompt="a cat with <style>")


def another_text_encoder(pipe):
    torch.manual_seed(7)
    pipe.text_encoder = tiny.clip_text().eval()
    return draw(pipe)


def another_unet(pipe):
    torch.manual_seed(7)
    pipe.unet = tiny.unet(block_out_channels=(8,)).eval()
    return draw(pipe)


def another_decoder(pipe):
    pipe.vae.decoder.conv_out.bias.data += 0.5
    pipe.vae.enable_tiling()
    pipe.vae.enable_slicing()
    return draw(pipe)


def embeddings_by_hand(pipe):
    embeds, negative = pipe.encode_prompt(PROMPT, pipe.device, 1, True, negative_prompt="a night")
    return draw(pipe, prompt=None, prompt_embeds=embeds, negative_prompt_embeds=negative)


def feed_forward_tricks(pipe):
    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    pipe.fuse_qkv_projections()
    return draw(pipe)


CHANGES = [
    another_scheduler,
    euler_with_karras_sigmas,
    scheduler_registered,
    textual_inversion,
    another_text_encoder,
    another_unet,
    another_decoder,
    embeddings_by_hand,
    feed_forward_tricks,
]


def same_as_a_new_guard(script, safe):
    """The script's pictures, which a guard that was made afterwards draws too."""
    before = draw(safe)
    pictures = script(safe)
    anew = guard(safe.pipe, "max", concept="weapons, blood")
    again = {"textual_inversion": {"prompt": "a cat with <style>"}}
    if script is not embeddings_by_hand:
        assert np.array_equal(draw(anew, **again.get(script.__name__, {})), pictures)
    return not np.array_equal(before, pictures)


@pytest.mark.parametrize("script", CHANGES, ids=lambda script: script.__name__)
def test_what_changes_after_guarding_is_seen_by_the_next_call(script, safe):
    assert same_as_a_new_guard(script, safe)


def test_lora_of_a_folder(safe, tmp_path):
    assert same_as_a_new_guard(lambda pipe: lora(pipe, tmp_path), safe)


def memory_savers(pipe):
    pipe.enable_attention_slicing()
    pipe.vae.enable_slicing()
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.maybe_free_model_hooks()
    return draw(pipe)


def several_per_prompt(pipe):
    generators = [torch.Generator().manual_seed(seed) for seed in range(4)]
    return draw(pipe, prompt=["a cat", "a dog"], num_images_per_prompt=2, generator=generators)


def latents_and_decoding_by_hand(pipe):
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        made = draw(pipe, latents=latents, output_type="latent")
        decoded = pipe.vae.decode(made / pipe.vae.config.scaling_factor, return_dict=False)[0]
    return pipe.image_processor.postprocess(decoded, output_type="np")


def the_output_by_index(pipe):
    out = pipe(**CALL)
    assert out[0] is out["images"] is out.images
    return out.to_tuple()[0]


def a_tuple(pipe):
    images, flags, receipts = pipe(**CALL, return_dict=False)
    assert (flags, len(receipts)) == (None, 1)
    return images


def a_preview(pipe):
    seen = []

    def preview(inner, step, timestep, kwargs):
        seen.append((step, inner.vae is pipe.vae, kwargs["latents"].shape))
        return kwargs

    images = draw(pipe, callback_on_step_end=preview)
    assert seen == [(step, True, (1, 4, 8, 8)) for step in range(4)]
    return images


def a_function_that_knows_nothing_of_guards(pipe):
    def gallery(pipeline, prompts):
        size = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        return [
            pipeline(prompt, height=size, width=size, num_inference_steps=2).images[0]
            for prompt in prompts
        ]

    return gallery(pipe.to("cpu"), ["a cat", "a dog"])


def questions(pipe):
    assert pipe.device == torch.device("cpu")
    assert pipe.dtype == torch.float32
    assert pipe.tokenizer.model_max_length == 77
    assert pipe.config.requires_safety_checker is False
    assert pipe.name_or_path == pipe.config.name_or_path if "name_or_path" in pipe.config else True
    assert getattr(pipe, "text_encoder_2", None) is None
    assert not hasattr(pipe, "transformer")
    assert hasattr(pipe, "enable_xformers_memory_efficient_attention")
    assert {"unet", "scheduler", "enable_model_cpu_offload", "watch"} <= set(dir(pipe))
    pipe.note = "mine"
    assert pipe.note == "mine"
    del pipe.note
    return draw(pipe)


def no_progress_bar(pipe):
    pipe.set_progress_bar_config(desc="drawing", leave=False, disable=True)
    with pipe.progress_bar(total=1) as bar:
        bar.update()
    pipe.safety_checker = None
    return draw(pipe)


def a_copy(pipe):
    own = copy.deepcopy(pipe)
    assert own.unet is not pipe.unet
    assert copy.copy(pipe).unet is pipe.unet
    return draw(own)


SCRIPTS = [
    memory_savers,
    several_per_prompt,
    latents_and_decoding_by_hand,
    the_output_by_index,
    a_tuple,
    a_preview,
    a_function_that_knows_nothing_of_guards,
    questions,
    no_progress_bar,
    a_copy,
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_an_ordinary_script_runs_and_is_guarded(script, safe, monkeypatch):
    guarded = []
    original = type(safe)._run
    monkeypatch.setattr(
        type(safe), "_run", lambda self, *a: (out := original(self, *a), guarded.append(out))[0]
    )
    pictures = script(safe)
    assert len(guarded) >= 1
    assert all(np.ptp(np.asarray(picture)) > 0 for picture in pictures)


def test_a_script_may_ask_which_arguments_a_call_takes(safe, pipe):
    own = inspect.signature(pipe.__call__)
    for call in (safe.__call__, copy.deepcopy(safe).__call__):
        assert inspect.signature(call) == own
        assert "guarded" in call.__doc__
    wanted = {"prompt": PROMPT, "num_inference_steps": 2, "cups_of_tea": 3}
    known = {name: value for name, value in wanted.items() if name in own.parameters}
    assert safe.__call__(**known).receipts[0].steps == 2


def test_a_pickled_guard_guards(safe):
    again = pickle.loads(pickle.dumps(safe))
    assert np.array_equal(draw(again), draw(safe))


# Methods reach the pipeline itself, whatever they do.


@pytest.mark.parametrize(
    "name",
    [
        "enable_model_cpu_offload",
        "enable_sequential_cpu_offload",
        "enable_xformers_memory_efficient_attention",
        "load_ip_adapter",
        "set_ip_adapter_scale",
        "load_lora_weights",
        "unload_lora_weights",
        "unfuse_lora",
        "load_textual_inversion",
        "disable_attention_slicing",
        "remove_all_hooks",
        "numpy_to_pil",
    ],
)
def test_methods_are_the_pipelines_own(safe, monkeypatch, name):
    asked = []

    def method(self, *args, **kwargs):
        asked.append((self, args, kwargs))
        return "answer"

    monkeypatch.setattr(StableDiffusionPipeline, name, method)
    assert getattr(safe, name)(1, two=2) == "answer"
    assert asked == [(safe.pipe, (1,), {"two": 2})]


def test_a_method_that_returns_a_pipeline_returns_it_guarded(safe, pipe, monkeypatch):
    assert safe.to(torch.float32) is safe
    monkeypatch.setattr(StableDiffusionPipeline, "myself", lambda self: self, raising=False)
    assert safe.myself() is safe
    other = safe.from_pipe(pipe)
    assert isinstance(other, Guarded)
    assert other.pipe is not pipe
    assert (other.safety, other.concept) == (safe.safety, safe.concept)


@pytest.mark.parametrize("given", ["as it is", "by name"])
def test_a_guarded_pipeline_made_of_a_guarded_one_is_guarded_and_says_nothing(safe, given, caplog):
    other = safe.from_pipe(safe) if given == "as it is" else safe.from_pipe(pipeline=safe)
    assert isinstance(other, Guarded)
    assert other.unet is safe.unet
    assert (other.safety, other.concept) == (safe.safety, safe.concept)
    assert [record for record in caplog.records if record.name == "safelatent"] == []


@pytest.mark.parametrize("auto", ["Text2Image", "Image2Image", "Inpainting"])
def test_an_auto_pipeline_is_answered_with_the_way_to_a_guarded_one(safe, auto):
    kind = getattr(diffusers, f"AutoPipelineFor{auto}")
    with pytest.raises(UnsupportedError, match=r"give it safe\.pipe and guard") as caught:
        kind.from_pipe(safe)
    assert "\n" not in str(caught.value)
    assert safe.config is safe.pipe.config
    assert isinstance(guard(kind.from_pipe(safe.pipe), safe.safety, concept=safe.concept), Guarded)


@pytest.mark.parametrize("again", ["parts", "from_pipe", "auto"])
def test_the_parts_make_another_pipeline_which_is_guarded_anew(safe, again, caplog):
    make = {
        "parts": lambda: StableDiffusionImg2ImgPipeline(
            **safe.components, requires_safety_checker=False
        ),
        "from_pipe": lambda: StableDiffusionImg2ImgPipeline.from_pipe(safe),
        "auto": lambda: AutoPipelineForImage2Image.from_pipe(safe.pipe),
    }
    other = tiny.quiet(make[again]())
    assert other.unet is safe.unet
    said = [record.getMessage() for record in caplog.records if record.name == "safelatent"]
    assert [("carry no guard" in line) for line in said] == ([] if again == "auto" else [True])
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8))
    out = guard(other, safe.safety, concept=safe.concept)(
        PROMPT, image=picture, strength=1.0, num_inference_steps=4
    )
    assert out.receipts[0].concept == "weapons, blood"


def test_the_embedded_model_in_a_script():
    pipe = load("embedded")
    pipe = guard(pipe, "max")
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    pipe.enable_attention_slicing()
    image = pipe("a panda", num_inference_steps=2).images[0]
    assert image.size == (128, 128)


# What would undo or sidestep the guard.


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("_guidance_scale", 0.5, "is private to StableDiffusionPipeline, which sets it"),
        ("_interrupt", True, "is private to"),
        ("__call__", print, "is private to"),
        ("__class__", object, "is private to"),
        ("pipe", None, r"is the guard's own .* guard\(safe\.pipe, safety, concept=\.\.\.\)"),
        ("safety", "weak", "is the guard's own"),
        ("concept", "cats", "is the guard's own"),
        ("guidance", MAX, "is the guard's own"),
        ("components", {}, "is the guard's own"),
        ("watch", print, "is the guard's own"),
        ("to", print, "is the guard's own"),
    ],
)
def test_the_guards_own_and_the_pipelines_private_names_stay(safe, name, value, reason):
    with pytest.raises(UnsupportedError, match=reason):
        setattr(safe, name, value)
    with pytest.raises(UnsupportedError, match=reason):
        delattr(safe, name)


@pytest.mark.parametrize("name", ["_execution_device", "_guidance_scale", "_internal_dict"])
def test_private_names_are_reached_at_the_pipeline_alone(safe, name):
    safe(**CALL)
    with pytest.raises(AttributeError, match=rf"safe\.pipe\.{name} reaches it, unguarded"):
        getattr(safe, name)
    assert not hasattr(safe, name)
    assert hasattr(safe.pipe, name)


def test_the_pipelines_call_on_the_guard_makes_no_image(safe):
    """``type(pipe).__call__(safe)`` would run the denoising loop on the parts, unguarded."""
    with pytest.raises(AttributeError, match="is private to the pipeline"):
        StableDiffusionPipeline.__call__(safe, PROMPT)


def test_a_setting_that_has_no_setter_stays_so(safe):
    for name, value in (("do_classifier_free_guidance", False), ("guidance_scale", 0.0)):
        with pytest.raises(AttributeError):
            setattr(safe, name, value)


def test_a_name_that_neither_has(safe):
    with pytest.raises(AttributeError, match="'StableDiffusionPipeline' object has no attribute"):
        _ = safe.enable_anything


# Nothing is kept from when it was guarded.


def test_the_safety_follows_the_scheduler(pipe):
    safe = guard(pipe, "medium")
    assert safe.guidance == MEDIUM
    safe.scheduler = FlowMatchEulerDiscreteScheduler()
    assert safe.guidance == MEDIUM.by_noise_level()


def test_a_distilled_denoiser_put_in_afterwards_is_refused(safe):
    safe.unet = tiny.unet(time_cond_proj_dim=8).eval()
    with pytest.raises(UnsupportedError, match="is distilled"):
        safe(**CALL)


def test_a_shorter_text_encoder_put_in_afterwards_cuts_no_concept(pipe):
    safe = guard(pipe, "max")
    short = copy.deepcopy(pipe.tokenizer)
    short.model_max_length = 16
    safe.tokenizer = short
    with pytest.raises(BadValueError, match="the text encoder reads 16"):
        safe(**CALL)


def test_a_list_of_safeties_is_a_copy(pipe):
    strengths = ["weak", "max"]
    safe = guard(pipe, strengths)
    strengths.clear()
    assert safe.guidance.rows == 2


# Answers to people who come from the authors' pipeline.


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ({"sld_guidance_scale": 500}, "guard(pipe, SLD(scale=500))"),
        ({"sld_warmup_steps": 5, "sld_mom_beta": 0.2}, "guard(pipe, SLD(warmup=5, decay=0.2))"),
        ({"sld_threshold": 0.1, "sld_momentum_scale": 0.4}, "SLD(threshold=0.1, momentum=0.4)"),
        ({"safety_concept": "blood"}, "guard(pipe, concept=...)"),
        ({"sld_concept": "blood", "sld_threshold": 1}, "guard(pipe, SLD(threshold=1), concept=..."),
    ],
    ids=str,
)
def test_their_arguments_are_answered_with_ours(pipe, arguments, answer):
    for call in (guard(pipe, "max"), lambda **given: guard(pipe, **given)):
        with pytest.raises(TypeError, match=re.escape(answer)) as caught:
            call(**arguments)
        assert all(name in str(caught.value) for name in arguments)
    with pytest.raises(TypeError, match=re.escape(answer)):
        guard(pipe, "max").watch(print, PROMPT, **arguments)


def test_a_whole_safety_configuration_is_a_preset(pipe):
    from tests.peer import SafetyConfig

    for name in ("MEDIUM", "STRONG", "MAX"):
        with pytest.raises(TypeError, match=rf"here it is guard\(pipe, '{name.lower()}'\)"):
            guard(pipe, "max")(PROMPT, **getattr(SafetyConfig, name))
    # Theirs is not the paper's: its scale is 20 instead of 200.
    with pytest.raises(TypeError, match=r"guard\(pipe, SLD\(warmup=15, scale=20,"):
        guard(pipe, "max")(PROMPT, **SafetyConfig.WEAK)


def test_their_concept_is_not_an_attribute(safe):
    with pytest.raises(TypeError, match=r"guard\(pipe, concept=\.\.\.\)"):
        safe.safety_concept = "blood"


def test_an_argument_that_guard_does_not_have(pipe):
    with pytest.raises(TypeError, match=r"guard\(\) got an unexpected keyword argument 'conzept'"):
        guard(pipe, conzept="blood")


# How it looks.


@pytest.mark.parametrize(
    ("safety", "shown"),
    [
        ("strong", "'strong'"),
        (MAX, "'max'"),
        (SLD(scale=123), "scale=123"),
        (NegativePrompt(), "NegativePrompt()"),
        (["weak"] * 100, "'weak', 'weak'"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_repr_has_at_most_three_lines(pipe, safety, shown):
    safe = guard(pipe, safety)
    lines = repr(safe).splitlines()
    assert len(lines) <= 3
    assert all(len(line) <= 120 for line in lines)
    assert lines[0].startswith("Guarded(StableDiffusionPipeline, safety=")
    assert shown in repr(safe)
    assert str(safe) == repr(safe)


def test_the_repr_of_a_concept_is_escaped_in_a_notebook(pipe):
    html = guard(pipe, "max", concept="<script>alert(1)</script>")._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "max" in html


def test_the_receipts_are_values_for_json(safe):
    assert json.loads(json.dumps(safe(**CALL).receipts[0].as_dict()))["safety"] == "max"
