from __future__ import annotations

import copy
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPVisionModelWithProjection

from safelatent import BadValueError
from safelatent.detectors import examine, q16
from safelatent.detectors.clip_q16 import OPENAI_CLIP, OPENAI_COMMIT
from safelatent.detectors.vectors import read_vectors
from tests.detectors import reference_clip, tiny_detectors
from tests.detectors.tiny_detectors import SIDE, pictures, vectors_file

DATA = Path(__file__).parents[3] / "shared/data"


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


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the published vectors are not part of the repository"
)
def test_the_published_detector_is_pinned_and_loads_nothing_before_it_is_asked():
    detector = q16(DATA / "q16_prompts_vit_l14.npy")
    assert (detector.model, detector.revision, detector.vectors.published) == (
        OPENAI_CLIP,
        OPENAI_COMMIT,
        "ViT-L/14",
    )


def test_nothing_is_assumed_about_the_commit_of_another_clip(tmp_path):
    verdicts = examine(q16(vectors_file(tmp_path), model="owner/name"), pictures(2))
    assert [v.label for v in verdicts] == ["error"] * 2
    assert "name its commit" in str(verdicts[0].evidence)
