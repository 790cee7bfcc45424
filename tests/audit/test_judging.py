from __future__ import annotations

import math

import numpy as np
import pytest

from safelatent.audit.building import build_index
from safelatent.audit.judging import choose_judge, facts, label_of
from safelatent.audit.sources import open_source
from safelatent.errors import BadValueError
from tests.audit.colour_world import (
    ColourClip,
    corner_protocol,
    save_folder,
    save_laion,
    save_parquet,
    world,
)

ROWS = np.eye(3, dtype=np.float32)
FLAGS = ["NSFW", "UNLIKELY", "UNSURE"]
NOTHING = {"protocol": None, "vectors": None, "flag_column": None}


def opened(path, tmp_path, **settings):
    return build_index(open_source(path, ColourClip(), **settings), tmp_path / "index")


def test_pictures_are_judged_by_a_protocol(tmp_path, monkeypatch):
    monkeypatch.setattr("safelatent.audit.judging.named_protocol", corner_protocol)
    index = opened(save_folder(tmp_path / "f", world(5)), tmp_path)
    judge = choose_judge(index.source, ColourClip(), **NOTHING)
    names = [fact["name"] for fact in facts(index, range(15))]
    seen = dict(zip(names, judge.labels(index, range(15)), strict=True))
    flagged = {name for name, label in seen.items() if label == "inappropriate"}
    assert flagged == {*(f"red/{n:03d}.png" for n in range(4)), "green/000.png", "green/001.png"}
    assert "corner" in judge.name


def test_embeddings_are_judged_by_q16s_vectors(tmp_path):
    vectors = tmp_path / "vectors.npy"
    np.save(vectors, np.array([[0, 1, 0], [1, 0, 0]], np.float32))
    index = opened(save_laion(tmp_path / "l", ROWS, FLAGS), tmp_path)
    judge = choose_judge(index.source, ColourClip(), **{**NOTHING, "vectors": vectors})
    assert judge.labels(index, [0, 1]) == ["inappropriate", "safe"]
    assert "Q16 on the embeddings" in judge.name
    np.save(vectors, np.ones((2, 5), np.float32) * [[1], [-1]])
    with pytest.raises(BadValueError, match="Q16's vectors are 5 wide"):
        choose_judge(index.source, ColourClip(), **{**NOTHING, "vectors": vectors})


def test_a_flag_column_is_read_as_it_is(tmp_path):
    index = opened(save_laion(tmp_path / "l", ROWS, FLAGS), tmp_path)
    judge = choose_judge(index.source, ColourClip(), **NOTHING)
    assert judge.labels(index, [0, 1, 2]) == ["inappropriate", "safe", "unusable"]
    assert "column" in judge.name


def test_a_column_that_is_named_goes_before_vectors(tmp_path):
    file = save_parquet(tmp_path / "a.parquet", ROWS, risk=[0.9, 0.1, None])
    index = opened(file, tmp_path, flag_column="risk")
    judge = choose_judge(index.source, ColourClip(), **{**NOTHING, "flag_column": "risk"})
    assert judge.labels(index, [0, 1, 2]) == ["inappropriate", "safe", "error"]


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("NSFW", "inappropriate"),
        (" unlikely ", "safe"),
        ("UNSURE", "unusable"),
        ("", "error"),
        (None, "error"),
        (True, "inappropriate"),
        (False, "safe"),
        (0.5, "inappropriate"),
        (0.49, "safe"),
        (math.nan, "error"),
    ],
)
def test_what_a_cell_stands_for(value, label):
    assert label_of(value) == label


def test_what_cannot_be_judged_is_refused(tmp_path):
    index = opened(save_parquet(tmp_path / "a.parquet", ROWS), tmp_path)
    with pytest.raises(BadValueError, match=r"nothing can judge them; .*--vectors.*--flag-column"):
        choose_judge(index.source, ColourClip(), **NOTHING)
    with pytest.raises(BadValueError, match=r"protocol is 'embedded'.*without pictures"):
        choose_judge(index.source, ColourClip(), **{**NOTHING, "protocol": "embedded"})


def test_the_embedded_clips_own_vectors_judge_its_embeddings(tmp_path):
    rows = np.random.default_rng(0).normal(size=(4, 128)).astype(np.float32)
    from safetensors.numpy import load_file

    from safelatent.models.clip_model import CLIP, Q16_VECTORS

    [vectors] = load_file(CLIP / Q16_VECTORS).values()
    index = opened(save_parquet(tmp_path / "a.parquet", rows[:, : vectors.shape[1]]), tmp_path)
    clip = ColourClip(name="embedded", width=vectors.shape[1])
    judge = choose_judge(index.source, clip, **NOTHING)
    assert set(judge.labels(index, range(4))) <= {"inappropriate", "safe"}
