"""The audit of data on a world whose shares were planted."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pytest

from safelatent.audit import Groups, audit_data
from safelatent.audit import data as module
from safelatent.errors import BadValueError, UnsupportedError
from tests.audit.colour_world import (
    COLOURS,
    SHARES,
    ColourClip,
    corner_protocol,
    save_folder,
    save_parquet,
    save_tar,
    world,
)
from tests.audit.made_audit import run_of

GROUPS = Groups(title="colours", names=tuple(SHARES), expected=tuple(SHARES.values()))


@pytest.fixture(autouse=True)
def _colours(monkeypatch):
    monkeypatch.setattr(module, "extractor", lambda *_, **__: ColourClip())
    monkeypatch.setattr("safelatent.audit.judging.named_protocol", corner_protocol)


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_planted_shares_are_recovered(tmp_path, kind):
    images = world(20)
    data = (
        save_folder(tmp_path / "f", images)
        if kind == "folder"
        else save_tar(tmp_path / "a.tar", images)
    )
    found = audit_data(data, GROUPS, index=tmp_path / "i", template="a {group}", nearest=20)
    assert [(one.name, one.inappropriate, one.judged) for one in found.groups] == [
        ("red", 16, 20), ("green", 6, 20), ("blue", 0, 20),
    ]  # fmt: skip
    assert all(one.holds_expected for one in found.groups)
    assert all(one.cosines[0] >= one.cosines[1] for one in found.groups)
    assert found.mean.value == pytest.approx(sum(SHARES.values()) / 3)
    assert (found.rows, found.left_out, found.recall, found.order) == (60, 0, None, None)
    assert [hit.rank for hit in found.hits[:20]] == list(range(1, 21))
    assert all("red" in hit.facts["name"] for hit in found.hits[:20])


def test_broken_pictures_are_left_out_and_counted(tmp_path):
    folder = save_folder(tmp_path / "f", world(5))
    (folder / "red/000.png").write_bytes(b"x")
    with pytest.raises(BadValueError, match=r"red/000\.png"):
        audit_data(folder, GROUPS, index=tmp_path / "i", nearest=4)
    found = audit_data(folder, GROUPS, index=tmp_path / "i", nearest=4, skip_broken=True)
    assert (found.rows, found.left_out) == (14, 1)


def test_embeddings_with_a_flag_column(tmp_path):
    rows = np.repeat(np.array(list(COLOURS.values()), np.float32), 4, axis=0)
    file = save_parquet(tmp_path / "a.parquet", rows, NSFW=["NSFW", "UNLIKELY", "UNSURE", None] * 3)
    found = audit_data(file, GROUPS, index=tmp_path / "i", nearest=4)
    assert [(one.inappropriate, one.judged, one.unjudged) for one in found.groups] == [
        (1, 2, 2)
    ] * 3


def test_lists_are_checked_against_the_exact_nearest(tmp_path):
    pytest.importorskip("faiss")
    rows = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    file = save_parquet(tmp_path / "a.parquet", rows, NSFW=["NSFW"] * 400)
    found = audit_data(file, GROUPS, index=tmp_path / "i", nearest=10, search="lists")
    assert found.recall == pytest.approx(1.0)
    exact = audit_data(file, GROUPS, index=tmp_path / "i", nearest=10, search="exact")
    assert [hit.row for hit in found.hits] == [hit.row for hit in exact.hits]


def test_faiss_is_looked_for_before_the_index_is_built(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    file = save_parquet(tmp_path / "a.parquet", np.eye(3, dtype=np.float32), NSFW=["NSFW"] * 3)
    call = partial(audit_data, file, GROUPS, nearest=2)
    with pytest.raises(UnsupportedError, match=r'needs faiss; run pip install "safelatent\[index'):
        call(index=tmp_path / "i", search="lists")
    assert not (tmp_path / "i").exists()
    assert call(index=tmp_path / "i").recall is None, "an exact search needs none"


def test_the_order_against_a_models_rates(tmp_path, monkeypatch):
    groups = Groups(title="g", names=("red", "green", "blue"))
    run = run_of(groups, {"off": ("iiii", "isss", "ssss"), "strong": ("ssss",) * 3})
    monkeypatch.setattr(module, "read_run", lambda _: run)
    data = save_folder(tmp_path / "f", world(5))
    found = audit_data(data, groups, index=tmp_path / "i", nearest=5, run="runs/bias")
    assert found.order.n == 3
    other = run_of(Groups(title="g", names=("red", "green")), {"off": ("ii", "ii")})
    monkeypatch.setattr(module, "read_run", lambda _: other)
    with pytest.raises(BadValueError, match="no judged unguarded image of 'blue'"):
        audit_data(data, groups, index=tmp_path / "i", nearest=5, run="runs/bias")


def test_a_group_of_too_few_judged_images_is_in_no_order_and_no_mean(tmp_path, monkeypatch):
    groups = Groups(title="g", names=("red", "green", "blue"))
    run = run_of(groups, {"off": ("iiii", "isss", "ssss")})
    monkeypatch.setattr(module, "read_run", lambda _: run)
    flags = ["NSFW"] * 4 + [None] * 3 + ["NSFW"] + ["UNLIKELY"] * 4
    rows = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    data = save_parquet(tmp_path / "a.parquet", rows, NSFW=flags)
    found = audit_data(data, groups, index=tmp_path / "i", nearest=4, run="runs/bias")
    assert [one.judged for one in found.groups] == [4, 1, 4]
    assert found.order.n == 2
    assert (found.mean.value, found.mean.n) == (0.5, 2), "one judged image is no share"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"nearest": 1}, "nearest is 1; a share per group needs 2"),
        ({"nearest": True}, "nearest is True"),
        ({"search": "list"}, r"search is 'list' \(did you mean 'lists'"),
        ({"template": "a body"}, r"must hold \{group\}"),
        ({"nearest": 16}, "nearest is 16 and there are 15 rows; ask for 1 to 15"),
    ],
)
def test_bad_settings_are_refused(tmp_path, settings, said):
    data = save_folder(tmp_path / "f", world(5))
    with pytest.raises(BadValueError, match=said):
        audit_data(data, GROUPS, **{"index": tmp_path / "i", "nearest": 4, **settings})
    assert not (tmp_path / "i").exists(), "nothing was built for it"


def test_what_nothing_can_judge_is_refused_before_the_build(tmp_path):
    file = save_parquet(tmp_path / "a.parquet", np.eye(3, dtype=np.float32))
    with pytest.raises(BadValueError, match="nothing can judge them"):
        audit_data(file, GROUPS, index=tmp_path / "i", nearest=2)
    with pytest.raises(BadValueError, match="holds embeddings without pictures"):
        audit_data(file, GROUPS, index=tmp_path / "i", nearest=2, protocol="embedded")
    assert not (tmp_path / "i").exists()


def test_another_clips_embeddings_are_refused(tmp_path):
    file = save_parquet(tmp_path / "a.parquet", np.eye(4, dtype=np.float32), NSFW=["NSFW"] * 4)
    with pytest.raises(BadValueError, match="the queries have 3 values and the embeddings"):
        audit_data(file, GROUPS, index=tmp_path / "i", nearest=2)
    assert not list(tmp_path.glob("i/parts/*")), "refused at the first part, not after hours"
