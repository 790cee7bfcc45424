"""The rows of a call are taken apart and put together without losing or mixing any."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from safelatent.errors import BadValueError
from safelatent.policy.decision import PolicyError
from safelatent.policy.rows import Rows, checked, steps_of


def noise(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_texts_and_noise_go_with_their_image():
    rows = Rows.of(
        {
            "prompt": ["a", "b"],
            "negative_prompt": ["x", "y"],
            "num_inference_steps": 5,
            "num_images_per_prompt": 2,
            "generator": noise(1, 2, 3, 4),
        }
    )
    assert len(rows) == 4
    call = rows.call([1, 2])
    assert (call["prompt"], call["negative_prompt"]) == (["a", "b"], ["x", "y"])
    assert (call["num_images_per_prompt"], call["num_inference_steps"]) == (1, 5)
    assert [one.initial_seed() for one in call["generator"]] == [2, 3]


def test_a_single_text_is_for_all():
    rows = Rows.of({"prompt": ["a", "b"], "negative_prompt": "x", "generator": None})
    assert rows.call([0, 1])["negative_prompt"] == ["x", "x"]


def test_the_noise_is_the_same_again_until_it_is_reseeded():
    given = noise(7)
    rows = Rows.of({"prompt": ["a"], "generator": given})

    def drawn() -> float:
        return float(torch.randn(1, generator=rows.call([0])["generator"][0]))

    first = drawn()
    assert drawn() == first
    rows.reseed(0)
    assert rows.seed(0) != 7
    assert drawn() != first
    assert given[0].initial_seed() == 7  # the caller's


def test_a_generator_that_was_used_before_keeps_its_place():
    used = noise(7)[0]
    torch.randn(3, generator=used)
    after = used.get_state()
    rows = Rows.of({"prompt": "a", "generator": used})
    torch.randn(1, generator=rows.call([0])["generator"][0])
    assert torch.equal(rows.call([0])["generator"][0].get_state(), after)


def test_tensors_are_split_by_image():
    latents = torch.arange(2.0).reshape(2, 1, 1, 1)
    rows = Rows.of({"prompt": ["a", "b"], "latents": latents, "generator": None})
    assert float(rows.call([1])["latents"]) == 1.0


def test_other_noise_has_the_size_of_the_latents_and_a_seed_that_is_told():
    latents = torch.zeros(2, 4, 3, 5, dtype=torch.float16)
    rows = Rows.of({"prompt": ["a", "b"], "latents": latents, "generator": noise(1, 2)})
    assert (rows.seed(0), rows.seed(1)) == (None, None)  # whose noise it is, is not known
    rows.reseed(1)
    drawn = rows.call([1])["latents"]
    alone = torch.Generator().manual_seed(rows.seed(1))
    assert torch.equal(drawn, torch.randn(1, 4, 3, 5, generator=alone).half())
    # What is drawn later is not the same noise again.
    assert torch.equal(rows.call([1])["generator"][0].get_state(), alone.get_state())
    assert rows.seed(0) is None


def test_a_picture_for_all_stays_one_per_image():
    picture = object()
    rows = Rows.of({"prompt": ["a", "b"], "image": picture, "generator": None})
    assert rows.call([1])["image"] == [picture]


def test_several_pictures_for_one_image_stay_together():
    pictures = [object(), object()]
    rows = Rows.of({"prompt": "a", "num_images_per_prompt": 3, "image": pictures})
    assert rows.call([1])["image"] is rows.call([0, 2])["image"] is pictures


def test_without_a_generator_every_image_has_a_seed():
    rows = Rows.of({"prompt": ["a", "b"], "generator": None})
    assert rows.seed(0) != rows.seed(1)


def test_a_wrong_number_of_generators_is_refused():
    with pytest.raises(BadValueError, match="3 generators for 2 images"):
        Rows.of({"prompt": ["a", "b"], "generator": noise(1, 2, 3)})


def test_one_generator_for_two_images_is_refused():
    with pytest.raises(BadValueError, match="two images have one generator"):
        Rows.of({"prompt": ["a", "b"], "generator": noise(1) * 2})


@pytest.mark.parametrize("name", ["negative_prompt", "prompt_2", "negative_prompt_2"])
def test_texts_for_another_number_of_prompts_are_refused(name):
    """The first would be drawn from, and the others dropped in silence."""
    with pytest.raises(BadValueError, match=f"{name} has 3 texts and prompt 2"):
        Rows.of({"prompt": ["a", "b"], name: ["x", "y", "z"], "generator": None})


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
    ],
)
def test_what_passes_by_the_checks_is_refused(name, why):
    with pytest.raises(PolicyError, match=f"the call gives {name}, .*{why}") as caught:
        checked({"prompt": "a cat", name: object()})
    assert caught.value.reason == "not guardable"
    checked({"prompt": "a cat", name: None, "callback_on_step_end_tensor_inputs": ["latents"]})


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
            checked({"prompt": "a cat", name: value})
        assert caught.value.reason == "not guardable"
    for value in ({"scale": 0.5}, {}, None):
        assert checked({"prompt": "a cat", name: value})[name] == value


def test_no_pipeline_rewrites_a_prompt_after_its_check():
    """It would make a letter of ``%63``, for example."""
    assert checked({"prompt": "a %63at", "clean_caption": True})["clean_caption"] is False
    assert "clean_caption" not in checked({"prompt": "a cat"})


@pytest.mark.parametrize(
    ("call", "steps"),
    [
        ({"num_inference_steps": 20}, (20, 20)),
        ({"num_inference_steps": 20, "strength": 0.3}, (20, 20)),  # without an image, unused
        ({"num_inference_steps": 20, "strength": 0.34, "image": 1}, (20, 6)),
        ({"num_inference_steps": 20, "strength": 1.0, "image_latents": 1}, (20, 20)),
        ({"num_inference_steps": 20, "timesteps": [3, 2, 1]}, (3, 3)),
        ({"sigmas": np.ones(10), "strength": 0.5, "image": 1}, (10, 5)),
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
        ({"timesteps": 5}, "timesteps is 5; it must be a list"),
        ({"strength": True}, "strength is True; it must be a number from 0 to 1"),
        ({"strength": [1.0, 0.1]}, "strength is [1.0, 0.1]"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"num_videos_per_prompt": True}, "num_videos_per_prompt is True"),
        ({"generator": "x"}, "generator is 'x'"),
        ({"generator": [1]}, "must be a torch.Generator"),
    ],
)
def test_what_a_policy_reads_of_a_call_has_its_type(value, said):
    with pytest.raises(BadValueError, match=re.escape(said)):
        checked({"prompt": "a cat"} | value)


def test_whole_numbers_of_any_kind_are_kept():
    found = checked({"prompt": "a cat", "num_inference_steps": np.int64(6), "height": None})
    assert found == {"prompt": "a cat", "num_inference_steps": 6, "height": None}
    assert type(found["num_inference_steps"]) is int
