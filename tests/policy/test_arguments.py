"""What a call under a policy may give, and what a policy reads of it."""

from __future__ import annotations

import inspect
import re

import diffusers
import numpy as np
import pytest

from safelatent.errors import BadValueError
from safelatent.pipelines.classic.families import FAMILIES
from safelatent.policy.arguments import KNOWN, checked, steps_of
from safelatent.policy.decision import PolicyError


def read(arguments: dict) -> dict:
    return checked(arguments, {})


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *[
            (name, "cannot read")
            for name in (
                "prompt_embeds",
                "negative_prompt_embeds",
                "pooled_prompt_embeds",
                "negative_pooled_prompt_embeds",
                "prompt_embeds_mask",
                "prompt_attention_mask",
                "ip_adapter_embeds",
                "ip_adapter_image_embeds",
                "ip_adapter_image",
                "complex_human_instruction",
                "denoiser_input_fields",
            )
        ],
        ("denoising_start", "to another call"),
        ("denoising_end", "to another call"),
        ("callback", "shown every step"),
        ("callback_on_step_end", "shown every step"),
        ("timesteps", "the noise at which the guard acts"),
        ("sigmas", "the noise at which the guard acts"),
        ("mu", "the noise at which the guard acts"),  # shifts the noise of the steps
        ("mask_overlay_kwargs", "does not know"),  # Qwen-Image pastes a picture by it
        ("image_latents", "does not know"),
        ("negative_original_size", "does not know"),
    ],
)
def test_what_passes_by_the_checks_is_refused(name, why):
    with pytest.raises(PolicyError, match=f"the call gives {name}, .*{why}") as caught:
        read({"prompt": "a cat", name: object()})
    assert caught.value.reason == "not guardable"
    read({"prompt": "a cat", name: None, "callback_on_step_end_tensor_inputs": ["latents"]})


@pytest.mark.parametrize(
    "name", ["cross_attention_kwargs", "joint_attention_kwargs", "attention_kwargs"]
)
def test_attention_is_given_a_scale_and_nothing_else(name):
    """A denoiser reads embeddings of images (IP-Adapter) and of phrases (GLIGEN) there."""
    for value in (
        {"ip_adapter_image_embeds": [object()]},
        {"scale": 0.5, "gligen": {}},
        [("scale", 1)],
        3,
    ):
        with pytest.raises(PolicyError, match=f"gives {name}, .* but LoRA's scale") as caught:
            read({"prompt": "a cat", name: value})
        assert caught.value.reason == "not guardable"
    for value in ({"scale": 0.5}, {}, None):
        assert read({"prompt": "a cat", name: value})[name] == value


def test_no_pipeline_rewrites_a_prompt_after_its_check():
    """It would make a letter of ``%63``, for example."""
    assert read({"prompt": "a %63at", "clean_caption": True})["clean_caption"] is False
    assert "clean_caption" not in read({"prompt": "a cat"})


@pytest.mark.parametrize(
    ("call", "steps"),
    [
        ({"num_inference_steps": 20}, (20, 20)),
        ({"num_inference_steps": 20, "strength": 0.3}, (20, 20)),  # without an image, unused
        ({"num_inference_steps": 20, "strength": 0.34, "image": 1}, (20, 6)),
        ({"num_inference_steps": 20, "strength": 1.0, "image": 1}, (20, 20)),
        ({"strength": 0.5, "image": 1}, (None, None)),
    ],
)
def test_the_steps_that_a_call_takes(call, steps):
    assert steps_of(call) == steps


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"prompt": []}, "prompt is an empty list"),
        ({"prompt": 3}, "prompt holds 3; it must be text"),
        ({"prompt": ("war",)}, "it must be text"),
        ({"prompt": ["a", None]}, "prompt holds None"),
        ({"prompt": [["a", "war"]]}, "it must be text"),
        ({"negative_prompt": b"a"}, "negative_prompt holds b'a'"),
        ({"num_inference_steps": "6"}, "num_inference_steps is '6'"),
        ({"num_inference_steps": float("nan")}, "num_inference_steps is nan"),
        ({"num_inference_steps": True}, "num_inference_steps is True"),
        ({"num_images_per_prompt": 0}, "num_images_per_prompt is 0"),
        ({"num_images_per_prompt": 2.5}, "num_images_per_prompt is 2.5"),
        ({"height": -8}, "height is -8"),
        ({"width": float("inf")}, "width is inf"),
        ({"strength": True}, "strength is True; it must be a number from 0 to 1"),
        ({"strength": [1.0, 0.1]}, "strength is [1.0, 0.1]"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"num_videos_per_prompt": True}, "num_videos_per_prompt is True"),
        ({"generator": "x"}, "generator is 'x'"),
        ({"generator": [1]}, "must be a torch.Generator"),
        ({"output_type": "latent"}, "every image is judged"),
        *[({"return_dict": value}, "every image is judged") for value in (False, 0, None, "")],
    ],
)
def test_what_a_policy_reads_of_a_call_has_its_type(value, said):
    with pytest.raises(BadValueError, match=re.escape(said)):
        read({"prompt": "a cat"} | value)


def test_whole_numbers_of_any_kind_are_kept():
    found = read({"prompt": "a cat", "num_inference_steps": np.int64(6), "height": None})
    assert found == {"prompt": "a cat", "num_inference_steps": 6, "height": None}
    assert type(found["num_inference_steps"]) is int


def test_a_default_is_the_pipelines_and_not_the_callers():
    ours = ["say what is in the picture:"]
    given = {"prompt": "a cat", "complex_human_instruction": ours, "new_in_diffusers": 0.5}
    assert checked(given, {"complex_human_instruction": ours, "new_in_diffusers": 0.5}) == given
    for name in ("complex_human_instruction", "new_in_diffusers"):
        with pytest.raises(PolicyError, match=f"gives {name}"):
            checked(given | {name: "other"}, given)


# Of the classic pipelines: what a policy refuses beside embeddings and attention masks.
REFUSED = {
    "callback",
    "callback_on_step_end",
    "complex_human_instruction",
    "denoising_end",
    "denoising_start",
    "ip_adapter_image",
    "masked_image_latents",
    "mu",
    "negative_aesthetic_score",
    "negative_crops_coords_top_left",
    "negative_ip_adapter_image",
    "negative_original_size",
    "negative_target_size",
    "sigmas",
    "skip_guidance_layers",
    "skip_layer_guidance_scale",
    "skip_layer_guidance_start",
    "skip_layer_guidance_stop",
    "timesteps",
}


def test_every_argument_of_every_pipeline_is_known_or_refused():
    """An argument that a release of diffusers adds is refused, until somebody has judged it."""
    names = {
        name
        for family in FAMILIES
        for kind in family.pipelines
        for name in inspect.signature(getattr(diffusers, kind).__call__).parameters
        if "embeds" not in name and not name.endswith(("attention_kwargs", "attention_mask"))
    } - {"self", "kwargs"}
    assert names - KNOWN <= REFUSED
    for name in REFUSED:
        with pytest.raises(PolicyError, match=f"the call gives {name}, "):
            read({"prompt": "a cat", name: object()})
