"""The rows of a call are taken apart and put together without losing or mixing any."""

from __future__ import annotations

import pytest
import torch

from safelatent.errors import BadValueError
from safelatent.policy.rows import Rows


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
    assert rows.seed(0) is None  # whose image it alone would not draw
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
