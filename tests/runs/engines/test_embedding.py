"""Features on a Ray cluster: the worker by itself. ``test_ray`` has the cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from safelatent.errors import UnsupportedError
from safelatent.features import image_features, pictures_in
from safelatent.runs.engines.embedding import _absolute, _worker, on_cluster
from tests.features.mean_colour import MeanColour
from tests.features.tiny_clip import save_pictures


def test_a_worker_of_another_machine_is_refused_unless_it_is_the_same(tmp_path):
    with pytest.raises(UnsupportedError, match="is not that of this machine"):
        _worker(MeanColour, "d" * 64)
    [file] = save_pictures(tmp_path, 1)
    sent: list = []

    def engine(parts):
        sent.extend(map(_absolute, parts))
        return map(_worker(MeanColour, MeanColour().hash), sent)

    found = image_features([file], MeanColour(), tmp_path / "cache", engine=engine)
    assert found.shape == (1, 3)


def test_paths_are_sent_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_pictures(Path("in"), 1)
    sent: list = []

    def engine(parts):
        sent.extend(map(_absolute, parts))
        return map(_worker(MeanColour, MeanColour().hash), sent)

    image_features(pictures_in(Path("in")), MeanColour(), Path("cache"), engine=engine)
    assert sent[0].groups == ((tmp_path / "in/000.png",),)


def test_no_cluster_is_started_for_nothing():
    assert list(on_cluster("nowhere:1")(MeanColour())([])) == []
