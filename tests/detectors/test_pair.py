from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionModelWithProjection

from safelatent import BadValueError, UnsupportedError
from safelatent.detectors.pair import Pair, load_pair, weights_sha256
from tests.detectors import tiny_detectors
from tests.detectors.tiny_detectors import pictures


def load(source, revision=None, device="cpu"):
    return load_pair(
        lambda: CLIPVisionModelWithProjection, source, revision=revision, device=device
    )


def embeddings(pair: Pair, size: int = 3) -> np.ndarray:
    return np.concatenate(
        list(pair.batches(pictures(5), size, lambda x: pair.model(pixel_values=x).image_embeds))
    )


@pytest.fixture
def folder(tmp_path):
    model, processor = tiny_detectors.clip()
    model.save_pretrained(tmp_path / "clip")
    processor.save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


def test_a_folder_and_the_loaded_pair_are_the_same_model(folder):
    from_folder, loaded = load(folder), load(tiny_detectors.clip())
    assert np.array_equal(embeddings(from_folder), embeddings(loaded))
    assert from_folder.fingerprint() == loaded.fingerprint()
    assert json.loads(json.dumps(loaded.fingerprint())) == loaded.fingerprint()


def test_the_size_of_a_batch_does_not_matter():
    """1e-5: sums in single precision may be taken in another order."""
    pair = load(tiny_detectors.clip())
    assert np.allclose(embeddings(pair, 1), embeddings(pair, 4), atol=1e-5)
    assert (
        np.ptp(embeddings(pair), axis=0).max() > 0.1
    )  # the pictures are told apart, so that order is tested


def test_weights_of_half_precision_are_run_in_single(folder):
    file = folder / "model.safetensors"
    save_file(
        {name: x.half() for name, x in load_file(file).items()}, file, metadata={"format": "pt"}
    )
    assert load(folder).model.dtype == torch.float32


def test_old_configs_with_numbers_for_sizes_are_understood(folder):
    """The published CLIP has 224, where newer ones have {"shortest_edge": 224}."""
    before, file = load(folder).fingerprint(), folder / "preprocessor_config.json"
    settings = json.loads(file.read_text())
    file.write_text(
        json.dumps(settings | {"size": tiny_detectors.SIDE, "crop_size": tiny_detectors.SIDE})
    )
    assert load(folder).fingerprint() == before


def test_a_model_in_training_mode_is_put_out_of_it():
    model, processor = copy.deepcopy(tiny_detectors.clip())
    assert not load((model.train(), processor)).model.training


@pytest.mark.parametrize("change", ["weight", "activation", "size", "colour", "class"])
def test_whatever_changes_the_answer_changes_the_fingerprint(change):
    model, processor = copy.deepcopy(tiny_detectors.clip())
    before = load((model, processor)).fingerprint()
    if change == "weight":
        model.vision_model.post_layernorm.bias.data[0] += 1
    elif change == "activation":
        model.config.hidden_act = "gelu"
    elif change == "size":
        processor.crop_size["height"] = 30
    elif change == "colour":
        processor.image_mean = (0.5, 0.5, 0.5)
    else:
        processor = type("OtherProcessor", (type(processor),), {})(
            size=processor.size, crop_size=processor.crop_size
        )
    assert load((model, processor)).fingerprint() != before


def test_a_tower_nested_once_or_twice_has_one_hash():
    class Named:
        def __init__(self, prefix):
            self.prefix = prefix

        def state_dict(self):
            return {
                f"{self.prefix}b": torch.ones(2),
                f"{self.prefix}a": torch.zeros(()),
                "visual_projection.weight": torch.ones(1),
            }

    once, twice = (
        weights_sha256(Named(prefix)) for prefix in ("vision_model.", "vision_model.vision_model.")
    )
    assert once == twice
    assert weights_sha256(Named("text_model.")) != once


@pytest.mark.parametrize(
    ("source", "revision", "message"),
    [
        ("nowhere", None, "unknown model 'nowhere'"),
        ("", None, "unknown model ''"),
        (__file__, None, "unknown model"),
        ("owner/name", None, "revision of 'owner/name' is None"),
        ("owner/name", "main", "revision of 'owner/name' is 'main'"),
        ("owner/name", "0" * 39, "40 hexadecimal digits"),
        (str(Path(__file__).parent), "0" * 40, "leave it out"),
        (tiny_detectors.clip(), "0" * 40, "leave it out"),
        ((tiny_detectors.clip()[0], None), None, r"\(CLIPVisionModelWithProjection, NoneType\)"),
        (tiny_detectors.clip()[::-1], None, r"it must be \(model, processor\)"),
        ((*tiny_detectors.clip(), None), None, r"it must be \(model, processor\)"),
    ],
)
def test_what_cannot_be_a_model_is_refused(source, revision, message):
    with pytest.raises(BadValueError, match=message):
        load(source, revision)


def test_a_hub_that_cannot_be_reached_is_one_clear_line():
    with pytest.raises(UnsupportedError, match="cannot load 'nobody/nothing'") as caught:
        load("nobody/nothing", "0" * 40)
    assert "\n" not in str(caught.value)


def test_pickles_are_refused(folder):
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UnsupportedError, match="cannot load"):
        load(folder)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"garbage"])
def test_a_broken_folder_is_one_clear_line(folder, file, content):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(UnsupportedError, match="cannot load") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_weight_is_never_made_up(folder):
    """transformers fills what is missing with random numbers, and the detector would answer at
    random.
    """
    file = folder / "model.safetensors"
    weights = load_file(file)
    del weights["visual_projection.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(UnsupportedError, match=r"no weights for visual_projection\.weight"):
        load(folder)


def test_a_device_that_is_not_there_is_one_clear_line(folder):
    with pytest.raises(UnsupportedError, match="cannot load"):
        load(folder, device="warp")
