from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from transformers import CLIPVisionModelWithProjection

from safelatent import BadValueError
from safelatent.detectors import examine, q16
from safelatent.detectors.clip_q16 import (
    OPENAI_CLIP,
    OPENAI_COMMIT,
    PUBLISHED,
    Vectors,
    read_vectors,
)
from tests.detectors import reference_clip, tiny_detectors
from tests.detectors.tiny_detectors import SIDE, pictures, publish, vectors_file


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "changes",
    [{}, {"patch_size": 16, "num_hidden_layers": 3, "hidden_size": 24, "num_attention_heads": 4}],
)
def test_it_is_the_slow_definition(seed, changes, tmp_path):
    """A random CLIP and random vectors. 1e-4 on the score: CLIP runs in single precision, and Q16
    multiplies by 100.
    """
    torch.manual_seed(seed)
    model = CLIPVisionModelWithProjection(tiny_detectors.vision_config(**changes)).eval()
    images, file = pictures(12, seed), vectors_file(tmp_path, seed)
    findings = q16(file, model=(model, tiny_detectors.processor()), batch=5).score(images)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    vectors = np.load(file)
    for image, found in zip(images, findings, strict=True):
        x = reference_clip.embedding(weights, model.config, reference_clip.pixels(image, SIDE))
        inappropriate, score = reference_clip.q16(vectors, x)
        assert found.score == pytest.approx(score, abs=1e-4)
        assert found.inappropriate == inappropriate or abs(score - 0.5) < 1e-4


def test_both_answers_occur(tmp_path):
    """Vectors on either side of the pictures' mean direction, so that the pictures fall on both."""
    model, _ = tiny_detectors.clip()
    probe = q16(vectors_file(tmp_path), model=tiny_detectors.clip())
    x = np.concatenate(
        list(probe._pair.batches(pictures(20), 20, lambda p: model(pixel_values=p).image_embeds))
    )
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    middle, way = x.mean(axis=0), np.linalg.svd(x - x.mean(axis=0))[2][0]
    np.save(tmp_path / "a.npy", np.stack([middle - way, middle + way]).astype(np.float32))
    units = read_vectors(tmp_path / "a.npy").units
    verdicts = examine(q16(tmp_path / "a.npy", model=tiny_detectors.clip()), pictures(20))
    assert [v.label == "inappropriate" for v in verdicts] == [
        bool(row @ units[1] > row @ units[0]) for row in x
    ]
    assert {v.label for v in verdicts} == {"safe", "inappropriate"}


def test_swapped_vectors_swap_the_answer(tmp_path):
    file = vectors_file(tmp_path)
    np.save(tmp_path / "swapped.npy", np.load(file)[::-1])
    scores = [
        [f.score for f in q16(f, model=tiny_detectors.clip()).score(pictures(8))]
        for f in (file, tmp_path / "swapped.npy")
    ]
    assert np.allclose(np.add(*scores), 1, atol=1e-12)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_an_embedding_without_direction_is_an_error(value, tmp_path):
    """Of length zero or not finite: both cosines would be equal, and the image "fine"."""
    model, processor = copy.deepcopy(tiny_detectors.clip())
    model.visual_projection.weight.data.fill_(value)
    verdicts = examine(q16(vectors_file(tmp_path), model=(model, processor)), pictures(3))
    assert [v.label for v in verdicts] == ["error"] * 3


def test_embeddings_alone_are_judged_as_their_pictures(tmp_path):
    detector, images = q16(vectors_file(tmp_path), model=tiny_detectors.clip()), pictures(5)
    model, _ = tiny_detectors.clip()
    [x] = detector._pair.batches(images, 5, lambda p: model(pixel_values=p).image_embeds)
    scores = [found.score for found in detector.score(images)]
    for found, score in zip(detector.score_embeddings(3 * x), scores, strict=True):
        assert found.score == pytest.approx(score, rel=1e-9)
    alone = q16(vectors_file(tmp_path), model=str(tmp_path))  # whose CLIP is not there
    assert [found.score for found in alone.score_embeddings(x)] == scores
    with pytest.raises(BadValueError, match=r"vectors are \d+ wide, and the embeddings have"):
        alone.score_embeddings(x[:, :3])


def test_vectors_of_another_clip_are_refused(tmp_path):
    with pytest.raises(BadValueError, match="5 wide, the CLIP's embeddings 12"):
        q16(vectors_file(tmp_path, wide=5), model=tiny_detectors.clip()).score(pictures(1))


@pytest.mark.parametrize("batch", [0, -1, True, 1.5, None])
def test_a_batch_that_makes_no_sense_is_refused(batch, tmp_path):
    with pytest.raises(BadValueError, match="batch is"):
        q16(vectors_file(tmp_path), batch=batch)


def test_the_fingerprint_tells_the_vectors_the_clip_and_the_threshold(tmp_path):
    detector = q16(vectors_file(tmp_path), model=tiny_detectors.clip())
    fingerprint = detector.fingerprint()
    assert json.loads(json.dumps(fingerprint)) == fingerprint
    assert fingerprint["vectors"] == {"sha256": detector.vectors.sha256, "published": None}
    other = copy.deepcopy(tiny_detectors.clip())
    other[0].visual_projection.weight.data[0, 0] += 1
    assert q16(vectors_file(tmp_path), model=other).fingerprint() != fingerprint
    assert (
        q16(vectors_file(tmp_path, seed=1), model=tiny_detectors.clip()).fingerprint()
        != fingerprint
    )
    assert dataclasses.replace(detector, threshold=0.6).fingerprint() != fingerprint


def test_the_published_detector_is_pinned_and_loads_nothing_before_it_is_asked(
    tmp_path, monkeypatch
):
    detector = q16(publish(monkeypatch, tmp_path, wide=768))
    assert (detector.model, detector.revision, detector.vectors.published) == (
        OPENAI_CLIP,
        OPENAI_COMMIT,
        "ViT-L/14",
    )


def test_nothing_is_assumed_about_the_commit_of_another_clip(tmp_path):
    verdicts = examine(q16(vectors_file(tmp_path), model="owner/name"), pictures(2))
    assert [v.label for v in verdicts] == ["error"] * 2
    assert "name its commit" in str(verdicts[0].evidence)


VALUES = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float16)


@pytest.fixture
def npy(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    return tmp_path / "a.npy"


@pytest.mark.parametrize(("clip", "wide"), [("ViT-L/14", 768), ("ViT-B/32", 512)])
def test_the_published_vectors_are_known_from_either_kind_of_file(
    clip, wide, tmp_path, monkeypatch
):
    assert clip in PUBLISHED.values()
    vectors = read_vectors(publish(monkeypatch, tmp_path, clip=clip, wide=wide))
    assert vectors.published == clip
    assert (vectors.values.shape, vectors.values.dtype) == ((2, wide), np.float16)
    save_file({"prompts": vectors.values}, tmp_path / "a.safetensors")
    assert read_vectors(tmp_path / "a.safetensors").sha256 == vectors.sha256


def test_other_vectors_are_taken_and_have_their_own_hash(npy):
    vectors = read_vectors(npy)
    assert vectors.published is None
    assert vectors.sha256 == hashlib.sha256(VALUES.tobytes()).hexdigest()


def test_the_hash_does_not_depend_on_how_the_array_lies_in_memory():
    whole = Vectors(values=VALUES).sha256
    assert Vectors(values=np.asfortranarray(VALUES)).sha256 == whole
    assert Vectors(values=VALUES.astype(">f2")).sha256 == whole
    assert Vectors(values=VALUES[::-1]).sha256 != whole


def test_units_are_the_directions():
    units = Vectors(values=VALUES).units
    assert np.allclose((units**2).sum(axis=1), 1, atol=1e-12)
    assert np.allclose(
        units * np.linalg.norm(VALUES.astype(float), axis=1)[:, None], VALUES, atol=1e-12
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (VALUES[:1], r"\(1, 12\)"),
        (VALUES.ravel(), r"\(24,\)"),
        (VALUES[:, :0], r"\(2, 0\)"),
        (VALUES.astype(int), "int64"),
        (np.where(VALUES[0, 0] == VALUES, np.nan, VALUES), "NaN"),
        (VALUES * [[1], [0]], "row of zeros"),
        (np.ones((2, 3)), "the same way"),
    ],
)
def test_what_cannot_be_q16s_is_refused(values, message):
    with pytest.raises(BadValueError, match=message):
        Vectors(values=values)


def write(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def test_a_pickle_is_never_read(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    np.save(tmp_path / "objects.npy", np.array([Evil(), Evil()], dtype=object))
    pickled = write(tmp_path, "pickled.npy", pickle.dumps(Evil()))
    for file in (pickled, tmp_path / "objects.npy"):
        with pytest.raises(BadValueError, match="cannot be read"):
            read_vectors(file)
    with pytest.raises(BadValueError, match="for the authors' pickle, run: safelatent convert-q16"):
        read_vectors(write(tmp_path, "prompts.p", pickle.dumps(Evil())))
    assert not (tmp_path / "ran").exists()


def test_broken_files_are_one_clear_line(npy, tmp_path):
    whole = npy.read_bytes()
    huge = whole.replace(b"(2, 12)", b"(2, 99999999999999)".ljust(7))
    save_file({"a": VALUES, "b": VALUES}, tmp_path / "two.safetensors")
    files = {
        "empty.npy": (b"", "cannot be read"),
        "cut.npy": (whole[: len(whole) // 2], "cannot be read"),
        "huge.npy": (huge, "cannot be read"),
        "text.safetensors": (b"hello", "cannot be read"),
        "large.npy": (b"\0" * (1 << 21), "two vectors take a few thousand"),
        "two.safetensors": ((tmp_path / "two.safetensors").read_bytes(), "must hold one"),
    }
    for name, (content, message) in files.items():
        with pytest.raises(BadValueError, match=message) as caught:
            read_vectors(write(tmp_path, name, content))
        assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_clear_line(tmp_path):
    for path in (tmp_path / "no.npy", tmp_path):
        with pytest.raises(BadValueError, match=r"not a file|must be \.npy"):
            read_vectors(path)
