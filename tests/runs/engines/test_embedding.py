"""Features on a Ray cluster: the worker by itself, and a cluster of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from safelatent.errors import UnsupportedError
from safelatent.features import image_features, pictures_in
from safelatent.runs.engines.embedding import _absolute, _worker, on_cluster
from tests.features.mean_colour import MeanColour
from tests.features.tiny_clip import save_pictures
from tests.runs.engines.test_ray import QUIET

ON_RAY = """
import sys
from pathlib import Path

import numpy as np
import ray

from safelatent.features import image_features, pictures_in, stored
from safelatent.runs.engines.embedding import on_cluster
from tests.features.mean_colour import MeanColour

stored.PART = 3
ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
try:
    engine = on_cluster(timeout=20)(MeanColour())
    found = image_features(pictures_in(Path("in")), MeanColour(), Path("cache"), engine=engine)
    np.save("found.npy", found)
finally:
    ray.shutdown()
"""


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


@pytest.mark.slow
@pytest.mark.usefixtures("one_cluster")
def test_a_cluster_computes_the_same(tmp_path):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    files = save_pictures(tmp_path / "in", 8)
    files[4].write_bytes(b"no picture")
    path = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-Werror", *QUIET, "-c", ON_RAY]
    options = {"capture_output": True, "text": True, "cwd": tmp_path}
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, **options, check=False, env=environment)
    assert "1 of 8 images cannot be used" in done.stderr, done.stderr
    save_pictures(tmp_path / "in", 8)
    done = subprocess.run(command, **options, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    here = image_features(pictures_in(tmp_path / "in"), MeanColour(), tmp_path / "here")
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), here)
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 4
