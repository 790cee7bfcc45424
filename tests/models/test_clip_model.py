"""The embedded CLIP as it is shipped, and the loader on a tiny one: nothing missing, nothing left
over, nothing downloaded.
"""

from __future__ import annotations

import json
import shutil
import socket

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize

from safelatent import UnsupportedError, load
from safelatent.metrics import frechet_distance, moments
from safelatent.models.clip_model import (
    CHECKER,
    CLIP,
    SCENES,
    WEIGHTS,
    image_processor,
    load_checker,
    load_clip,
    load_processor,
    load_scenes,
    load_vision_tower,
    text_tower_sha256,
)
from tests import tiny
from training.clip import new_clip, save_clip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A pipeline's text part with an untrained CLIP beside it."""
    folder = tmp_path_factory.mktemp("made")
    parts = tiny.parts()
    parts["text_encoder"].save_pretrained(folder / "pipeline/text_encoder")
    parts["tokenizer"].save_pretrained(folder / "pipeline/tokenizer")
    torch.manual_seed(0)
    save_clip(new_clip(parts["text_encoder"]), folder / "clip")
    return folder


@pytest.fixture
def copied(made, tmp_path):
    """A CLIP folder that may be spoilt, and the pipeline beside it."""
    shutil.copytree(made / "clip", tmp_path / "clip")
    return tmp_path / "clip", made / "pipeline"


@pytest.fixture(scope="module")
def shipped():
    return load_clip()


def test_the_text_tower_is_the_pipelines(shipped):
    encoder = load("embedded").text_encoder.state_dict()
    tower = shipped.text_model.state_dict()
    assert encoder.keys() == tower.keys()
    assert all(torch.equal(encoder[name], tower[name]) for name in encoder)


def test_the_text_tower_is_not_stored_twice():
    sizes = {file.name: file.stat().st_size for file in CLIP.iterdir()}
    assert sizes.pop(SCENES) <= 1_000_000, "features of scenes, which are no tower"
    assert sum(sizes.values()) <= 3_000_000
    assert {file.suffix for file in CLIP.iterdir()} == {".json", ".safetensors"}
    with safe_open(CLIP / WEIGHTS, "pt") as stored:
        names = list(stored.keys())
        assert {stored.get_slice(name).get_dtype() for name in names} == {"F16"}
    assert {name.split(".")[0] for name in names} == {
        "vision_model",
        "visual_projection",
        "text_projection",
        "logit_scale",
    }


def test_every_stored_weight_is_in_the_model(shipped):
    held, stored = shipped.state_dict(), load_file(CLIP / WEIGHTS)
    assert stored.keys() == {name for name in held if not name.startswith("text_model.")}
    assert all(torch.equal(held[name], tensor.float()) for name, tensor in stored.items())
    assert not shipped.training


def test_nothing_is_downloaded(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load_clip()
    load_vision_tower()
    load_checker()
    load_processor()


def test_the_parts_alone_see_what_the_whole_sees(shipped):
    pixels = torch.rand((3, 3, 64, 64), generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = shipped.get_image_features(pixels).pooler_output
    checker = load_checker()
    torch.testing.assert_close(load_vision_tower()(pixels).image_embeds, whole)
    torch.testing.assert_close(checker.visual_projection(checker.vision_model(pixels)[1]), whole)


@torch.no_grad()
def _cosines(clip, pixels, tokens):
    out = clip(pixel_values=pixels, input_ids=tokens)
    return out.image_embeds @ out.text_embeds.T


def test_similarity_by_its_definition(made):
    clip, processor = load_clip(made / "clip", made / "pipeline"), load_processor(made / "pipeline")
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    pixels = processor(
        images=[Image.fromarray(picture) for picture in noise], return_tensors="pt"
    ).pixel_values
    texts = ["a cat", "a pirate with a pistol at a party"]
    tokens = processor(text=texts, padding=True, truncation=True, return_tensors="pt").input_ids
    found = _cosines(clip, pixels, tokens)
    assert found.shape == (3, 2)
    for n, text in enumerate(texts):
        alone = processor(text=[text], return_tensors="pt").input_ids  # without padding
        x, y = (
            clip.get_image_features(pixels).pooler_output,
            clip.get_text_features(alone).pooler_output,
        )
        torch.testing.assert_close(
            found[:, n], (normalize(x) @ normalize(y).T)[:, 0], atol=1e-5, rtol=0
        )
    torch.testing.assert_close(
        clip(pixel_values=pixels, input_ids=tokens).logits_per_image, found * clip.logit_scale.exp()
    )


def test_a_picture_of_the_models_size_keeps_every_pixel():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pixels = image_processor()(images=[Image.fromarray(noise)], return_tensors="pt")["pixel_values"]
    np.testing.assert_allclose(pixels[0].permute(1, 2, 0).numpy(), noise / 127.5 - 1, atol=1e-6)
    other = image_processor()(
        images=[Image.fromarray(noise).resize((100, 80))], return_tensors="pt"
    )["pixel_values"]
    assert other.shape == (1, 3, 64, 64)


@pytest.mark.parametrize("change", ["missing", "left over", "of another shape"])
def test_weights_that_do_not_fit_are_refused(copied, change):
    folder, pipeline = copied
    weights = load_file(folder / WEIGHTS)
    projection = weights.pop("text_projection.weight")
    if change == "left over":
        weights |= {"text_projection.weight": projection, "text_projection.bias": torch.zeros(3)}
    elif change == "of another shape":
        weights["text_projection.weight"] = projection[:, 1:].contiguous()
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(UnsupportedError, match=r"do not fit.*text_projection") as caught:
        load_clip(folder, pipeline)
    assert "\n" not in str(caught.value)


def test_another_text_encoder_is_refused(copied, tmp_path):
    folder, pipeline = copied
    other = tiny.parts()["text_encoder"]
    with torch.no_grad():
        other.final_layer_norm.weight.mul_(1.5)
    other.save_pretrained(tmp_path / "pipeline/text_encoder")
    load_clip(folder, pipeline)
    with pytest.raises(UnsupportedError, match="another text encoder"):
        load_clip(folder, tmp_path / "pipeline")


def test_the_hash_knows_values_and_not_precision():
    encoder = tiny.parts()["text_encoder"].half()
    assert text_tower_sha256(encoder) == text_tower_sha256(encoder.float())


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
@pytest.mark.parametrize("spoil", ["removed", "cut"])
def test_broken_files_are_refused(copied, name, spoil):
    folder, pipeline = copied
    file = folder / name
    content = file.read_bytes()
    file.unlink()
    if spoil == "cut":
        file.write_bytes(content[: len(content) // 2])
    with pytest.raises(UnsupportedError, match="cannot read") as caught:
        load_clip(folder, pipeline)
    assert "\n" not in str(caught.value)


def test_a_checker_without_thresholds_is_refused(copied):
    folder, _ = copied
    save_file({"concept_embeds": torch.ones(17, 128)}, folder / CHECKER)
    with pytest.raises(UnsupportedError, match="special_care_embeds_weights"):
        load_checker(folder)


def test_the_real_scenes_have_their_mean_and_covariance(shipped):
    scenes = load_scenes()
    real = scenes.moments
    assert real.n == 20_000
    assert scenes.features.shape == (1000, shipped.config.projection_dim)
    assert frechet_distance(moments(scenes.features), real) < 0.02 * np.trace(real.covariance), (
        "the features are of the same scenes"
    )
    assert real.mean.shape == (shipped.config.projection_dim,)
    np.testing.assert_allclose(real.covariance, real.covariance.T, atol=1e-6)
    assert np.linalg.eigvalsh(real.covariance).min() > -1e-6
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-6)
    noise = np.random.default_rng(0).integers(0, 256, (200, 64, 64, 3), dtype=np.uint8)
    pixels = image_processor()(images=[Image.fromarray(one) for one in noise], return_tensors="pt")[
        "pixel_values"
    ]
    with torch.no_grad():
        features = shipped.get_image_features(pixels).pooler_output
    assert frechet_distance(moments(features.numpy()), real) > np.trace(real.covariance), (
        "noise is no scene"
    )


def test_scenes_that_are_missing_are_refused(copied):
    with pytest.raises(UnsupportedError, match=r"cannot read .*scenes\.safetensors"):
        load_scenes(copied[0])


def test_the_settings_are_plain(made):
    settings = json.loads((made / "clip/config.json").read_text())
    assert set(settings) == {"projection_dim", "text_tower_sha256", "vision_config"}


@pytest.mark.slow
def test_a_generated_picture_is_nearest_to_its_own_prompt(shipped):
    """Pictures that it was not trained on, without the drawing: chance would name 1 of 16."""
    things = ["dog", "red apple", "house", "guitar", "penguin", "pizza", "bus", "castle"]
    things += ["robot", "star", "rose", "violin", "tent", "cactus", "door", "crab"]
    prompts = [f"a {thing}" for thing in things]
    pipe = tiny.quiet(load("embedded"))
    images = pipe(
        prompts,
        num_inference_steps=15,
        generator=[torch.Generator().manual_seed(n) for n in range(16)],
    ).images
    inputs = load_processor()(
        images=images, text=prompts, padding=True, truncation=True, return_tensors="pt"
    )
    nearest = _cosines(shipped, inputs.pixel_values, inputs.input_ids).argmax(dim=1)
    assert (nearest == torch.arange(16)).sum() >= 10
