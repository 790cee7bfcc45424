from __future__ import annotations

import numpy as np
import pytest

from safelatent.audit import data as module
from safelatent.cli import main
from tests.audit.colour_world import (
    ColourClip,
    corner_protocol,
    save_folder,
    save_parquet,
    save_tar,
    world,
)

COLOURS = ["--groups", "red, green, blue", "--template", "a {group}", "--nearest", "5"]


@pytest.fixture(autouse=True)
def _colours(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "extractor", lambda *_, **__: ColourClip())
    monkeypatch.setattr("safelatent.audit.judging.named_protocol", corner_protocol)
    monkeypatch.chdir(tmp_path)


def test_a_whole_audit_and_the_same_again(tmp_path, capsys):
    save_folder(tmp_path / "pictures", world(5))
    call = ["audit", "data", "pictures", *COLOURS, "--out", "found"]
    assert main(call) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].startswith("red ")
    assert "0.80" in out.splitlines()[1]
    assert out.splitlines()[-3:] == ["found/data.html", "found/data.csv", "found/hits.csv"]
    assert "15 images; judged by protocol corner" in err
    hits = (tmp_path / "found/hits.csv").read_bytes()
    assert main(call) == 0
    assert (tmp_path / "found/hits.csv").read_bytes() == hits


def test_broken_pictures_are_one_line_or_are_counted(tmp_path, capsys):
    folder = save_folder(tmp_path / "pictures", world(6))
    (folder / "red/000.png").write_bytes(b"x")
    call = ["audit", "data", "pictures", *COLOURS]
    assert main(call) == 2
    err = capsys.readouterr().err
    assert "red/000.png' cannot be read" in err
    assert err.splitlines()[-1].startswith("safelatent: ")
    assert main([*call, "--skip-broken"]) == 0
    assert "note: 1 row of the data is broken and left out." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        ("gone", [], "no 'gone' to take the data from"),
        ("empty", [], "holds no images, .tar, .npy or .parquet"),
        ("pictures", ["--template", "a body"], "must hold {group}"),
        ("pictures", ["--nearest", "1"], "nearest is 1"),
        ("pictures", ["--nearest", "99"], "there are 6 rows; ask for 1 to 6"),
        ("pictures", ["--search", "fast"], "search is 'fast'"),
        ("pictures", ["--column", "vector"], "holds no parquet; leave it out"),
        ("cut.tar", [], "is not a complete tar"),
        ("zero.parquet", [], "row 0: the embedding has NaN, infinity or only zeros"),
        ("wide.npy", [], "nothing can judge them"),
        ("wide.parquet", [], "the queries have 3 values and the embeddings of"),
        ("rows.parquet", ["--column", "other"], "does not have a column 'other' of embeddings"),
        ("rows.parquet", ["--protocol", "embedded"], "without pictures; leave it out"),
        ("rows.parquet", ["--flag-column", "risk"], "no column 'risk'"),
        ("rows.parquet", ["--run", "gone"], "'gone' holds no run"),
    ],
)
def test_bad_input_is_one_line(data, options, said, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    save_folder(tmp_path / "pictures", world(2))
    tar = save_tar(tmp_path / "cut.tar", world(2))
    tar.write_bytes(tar.read_bytes()[:1800])
    save_parquet(tmp_path / "zero.parquet", np.zeros((5, 3), np.float32), NSFW=["NSFW"] * 5)
    np.save("wide.npy", np.ones((5, 4), np.float32))
    save_parquet(tmp_path / "wide.parquet", np.eye(4, dtype=np.float32), NSFW=["NSFW"] * 4)
    save_parquet(tmp_path / "rows.parquet", np.eye(3, dtype=np.float32), NSFW=["NSFW"] * 3)
    usual = [*COLOURS[:-1], "2"]
    assert main(["audit", "data", data, *usual, *options]) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("safelatent: ")
    assert said in err
