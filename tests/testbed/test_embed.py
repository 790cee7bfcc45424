from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from transformers import CLIPModel

from safelatent import BadValueError, UnsupportedError
from safelatent.models.clip_model import CLIP, load_clip
from safelatent.testbed.embed import OPENAI_CLIP, check_embedder, load_embedder
from tests import tiny
from tests.testbed import tiny_testbed

TEXTS = ["a cat", "violence", "a dog at the party with a pirate", "a cat at night", "blood"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_testbed.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def embedder(folder):
    return load_embedder(str(folder))


def test_embeddings_are_the_whole_clips_own(folder, embedder):
    """One text at a time through transformers' own method; batches differ by up to 1e-6."""
    whole: CLIPModel = CLIPModel.from_pretrained(folder).eval()
    found = embedder.embed(TEXTS)
    assert found.cut == 0
    assert found.vectors.dtype == np.float32
    for text, vector in zip(TEXTS, found.vectors, strict=True):
        with torch.no_grad():
            own = whole.get_text_features(
                **tiny.tokenizer()(text, return_tensors="pt")
            ).pooler_output[0]
        assert np.allclose(vector, own.numpy(), atol=1e-6), text


def test_texts_do_not_change_their_neighbours(embedder):
    alone = np.vstack([embedder.embed([text]).vectors for text in TEXTS])
    assert np.allclose(embedder.embed(TEXTS * 20).vectors, np.tile(alone, (20, 1)), atol=1e-6)
    blocks = [block.vectors for block in embedder.blocks(TEXTS * 500)]
    assert [len(block) for block in blocks] == [1024, 1024, 452]
    assert np.allclose(np.vstack(blocks), np.tile(alone, (500, 1)), atol=1e-6)


def test_what_is_too_long_is_cut_and_counted(embedder):
    fits = " ".join(["cat"] * (tiny_testbed.POSITIONS - 2))
    found = embedder.embed([fits, f"{fits} dog", f"{fits} violence blood", "a cat"])
    assert found.cut == 2
    assert np.allclose(found.vectors[1:3], found.vectors[0], atol=1e-6), (
        "what comes after is not seen, and the end token is"
    )
    assert np.abs(found.vectors[3] - found.vectors[0]).max() > 1e-2


def test_the_hash_is_that_of_weights_and_tokens(folder, embedder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "README.md").write_text("nothing")
    assert load_embedder(str(copy)).sha256 == embedder.sha256
    other: CLIPModel = CLIPModel.from_pretrained(copy)
    other.text_projection.weight.data[0, 0] += 1
    other.save_pretrained(copy)
    assert load_embedder(str(copy)).sha256 != embedder.sha256


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("embeded", None, r"unknown embedder 'embeded' \(did you mean 'embedded'\?\)"),
        ("", None, "unknown embedder ''"),
        ("/nowhere/at/all", None, "unknown embedder"),
        ("owner/name", None, "the revision of 'owner/name' is None; name its commit"),
        ("owner/name", "main", "the revision of 'owner/name' is 'main'; name its commit"),
        ("embedded", "a" * 40, "is not a Hub id; leave it out"),
    ],
)
def test_what_cannot_be_an_embedder_is_refused(name, revision, message):
    with pytest.raises(BadValueError, match=message):
        load_embedder(name, revision=revision)


def test_the_openai_clip_brings_its_commit():
    check_embedder(OPENAI_CLIP, None)
    check_embedder("owner/name", "0123456789abcdef0123456789abcdef01234567")


def test_a_hub_that_cannot_be_reached_is_one_clear_line():
    with pytest.raises(
        UnsupportedError, match="cannot load the embedder 'nobody/nothing'"
    ) as caught:
        load_embedder("nobody/nothing", revision="0" * 40)
    assert "\n" not in str(caught.value)


def test_a_text_encoder_without_a_projection_is_refused(tmp_path):
    tiny.parts()["text_encoder"].save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedError, match=r"no weights for text_projection\.weight"):
        load_embedder(str(tmp_path))


def test_a_folder_without_a_model_or_a_tokenizer_is_refused(folder, tmp_path):
    with pytest.raises(UnsupportedError):
        load_embedder(str(tmp_path))
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder / name, tmp_path)
    with pytest.raises(UnsupportedError):
        load_embedder(str(tmp_path))


def test_numbers_that_are_not_finite_are_refused(folder):
    broken = load_embedder(str(folder))
    broken.projection.weight.data[0] = torch.nan
    with pytest.raises(UnsupportedError, match="not finite"):
        broken.embed(["a cat"])


@pytest.mark.skipif(
    not (CLIP / "config.json").exists(), reason="the embedded CLIP is not trained yet"
)
def test_the_embedded_clip_is_read_as_it_reads_itself():
    embedder, whole = load_embedder("embedded"), load_clip()
    ids = embedder.tokenizer(TEXTS, padding=True, return_tensors="pt").input_ids
    size = whole.config.vision_config.image_size
    picture = torch.zeros(1, 3, size, size)
    with torch.no_grad():
        out = whole(pixel_values=picture, input_ids=ids)
    image, texts = out.image_embeds[0].numpy(), out.text_embeds.numpy()
    vectors = embedder.embed(TEXTS).vectors
    cosines = vectors @ image / np.linalg.norm(vectors, axis=1)
    assert np.allclose(cosines, texts @ image, atol=1e-5)
