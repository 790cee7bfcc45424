"""A folder's CLIP against transformers' own calls; the embedded one against ``load_clip``."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel

from safelatent.errors import BadValueError, UnsupportedError
from safelatent.features import extractor
from safelatent.models.clip_model import image_processor, load_clip, load_processor
from tests.features.tiny_clip import picture, save_clip

TEXTS = ["a cat", "", "a dog at night with a pirate"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("clip"))


def test_images_are_embedded_as_transformers_does(folder):
    found = extractor(folder, batch_size=2)
    pictures = [picture(n) for n in range(5)]
    pixels = found.pair.processor(images=pictures, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        theirs = CLIPModel.from_pretrained(folder).get_image_features(pixel_values=pixels)
    np.testing.assert_allclose(found.images(pictures), theirs.pooler_output, rtol=1e-4, atol=1e-6)
    assert found.images(pictures).dtype == np.float32
    assert found.images([]).shape == (0, found.width) == (0, 6)


def test_texts_are_embedded_one_by_one_or_together_alike(folder):
    one, many = extractor(folder, batch_size=1), extractor(folder, batch_size=3)
    np.testing.assert_allclose(one.texts(TEXTS), many.texts(TEXTS), rtol=1e-4, atol=1e-6)
    assert len({tuple(row) for row in one.texts(TEXTS)}) == 3


def test_long_texts_are_cut_and_counted(folder):
    found = extractor(folder)
    fits, longer = "a cat " * 5, "a cat " * 5 + "dog"
    assert found.too_long([fits, longer, longer + " night"]) == 2
    cut = found.texts([longer, longer + " at night"])
    np.testing.assert_allclose(cut[0], cut[1], rtol=1e-5)


def test_the_embedded_one_is_the_embedded_clip():
    found = extractor()
    scene = [picture(1, size=64)]
    inputs = load_processor()(images=scene, text=["a cat"], padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = load_clip()(**inputs)
    for mine, other in (
        (found.images(scene), theirs.image_embeds),
        (found.texts(["a cat"]), theirs.text_embeds),
    ):
        np.testing.assert_allclose(mine / np.linalg.norm(mine), other, rtol=1e-4, atol=1e-6)
    assert found.pair.processor.resample == image_processor().resample == Image.Resampling.BICUBIC


def test_pictures_are_resized_by_antialiased_bicubic_whatever_the_folder_says(tmp_path):
    nearest = extractor(save_clip(tmp_path / "clip", resample=0))
    large = picture(1, size=48)
    mine = nearest.images([large])
    by_hand = nearest.images([large.resize((16, 16), Image.Resampling.BICUBIC)])
    np.testing.assert_allclose(mine, by_hand, rtol=1e-4, atol=1e-6)
    aliased = nearest.images([large.resize((16, 16), Image.Resampling.NEAREST)])
    assert np.abs(mine - aliased).max() > 1e-3


def test_the_hash_is_of_weights_and_image_processing(folder, tmp_path):
    first = extractor(folder).hash
    assert extractor(save_clip(tmp_path / "again"), batch_size=3).hash == first
    assert extractor(save_clip(tmp_path / "weights", seed=1)).hash != first
    assert extractor(save_clip(tmp_path / "size", size=24)).hash != first
    colours = save_clip(tmp_path / "colours") / "preprocessor_config.json"
    colours.write_text(colours.read_text().replace("0.4814", "0.5814"))
    assert extractor(colours.parent).hash != first


def test_what_is_no_clip_is_refused(folder, tmp_path):
    with pytest.raises(BadValueError, match="name 'embedded' or a folder"):
        extractor(tmp_path / "nowhere")
    with pytest.raises(BadValueError, match="batch is 0"):
        extractor(folder, batch_size=0)
    with pytest.raises(UnsupportedError, match=r"has no config\.json; give a folder that holds"):
        extractor(tmp_path)
    lacking = save_clip(tmp_path / "lacking")
    (lacking / "preprocessor_config.json").unlink()
    with pytest.raises(UnsupportedError, match=r"has no preprocessor_config\.json"):
        extractor(lacking)
