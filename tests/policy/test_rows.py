"""The rows of a call are taken apart and put together without losing or mixing any."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from safelatent.errors import BadValueError, GuardError
from safelatent.policy.rows import Rows, checked


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
    rows = Rows.of({"prompt": "a", "generator": noise(7)[0]})

    def drawn() -> float:
        return float(torch.randn(1, generator=rows.call([0])["generator"][0]))

    first = drawn()
    assert drawn() == first
    rows.reseed(0)
    assert rows.seed(0) != 7
    assert drawn() != first


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
    rows.reseed(1)
    assert "latents" not in rows.call([1])


def test_a_picture_for_all_stays_one_per_image():
    picture = object()
    rows = Rows.of({"prompt": ["a", "b"], "image": picture, "generator": None})
    assert rows.call([1])["image"] == [picture]


def test_without_a_generator_every_image_has_a_seed():
    rows = Rows.of({"prompt": ["a", "b"], "generator": None})
    assert rows.seed(0) != rows.seed(1)


def test_a_wrong_number_of_generators_is_refused():
    with pytest.raises(BadValueError, match="3 generators for 2 images"):
        Rows.of({"prompt": ["a", "b"], "generator": noise(1, 2, 3)})


def test_embeddings_are_refused():
    with pytest.raises(GuardError, match="prompt_embeds"):
        Rows.of({"prompt": None, "prompt_embeds": torch.zeros(1, 2, 3)})


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
