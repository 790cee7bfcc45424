"""References: a folder, parquet, a file of moments, the scenes; another extractor's refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from safelatent.errors import BadValueError
from safelatent.features import SCENES, extractor, image_features, read_reference, save_moments
from safelatent.metrics import moments
from safelatent.models.clip_model import load_scenes
from tests.features.tiny_clip import save_clip, save_pictures


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return extractor(save_clip(tmp_path_factory.mktemp("clip")))


def test_a_folder_is_searched_with_its_subfolders(clip, tmp_path):
    files = save_pictures(tmp_path / "in", 3) + save_pictures(tmp_path / "in/deeper", 2, start=3)
    (tmp_path / "in/notes.txt").write_text("no picture")
    found = read_reference(tmp_path / "in", clip, tmp_path / "cache")
    expected = image_features(files, clip, tmp_path / "cache")
    np.testing.assert_array_equal(found.features, expected)
    np.testing.assert_allclose(found.moments.covariance, np.cov(expected, rowvar=False))
    assert (found.moments.n, found.name) == (5, str(tmp_path / "in"))


def test_moments_come_back_as_they_were_saved(clip, tmp_path):
    saved = moments(np.random.default_rng(0).normal(size=(9, 6)))
    file = save_moments(tmp_path / "moments.safetensors", saved, clip)
    found = read_reference(file, clip, tmp_path / "cache")
    np.testing.assert_array_equal(found.moments.mean, saved.mean)
    np.testing.assert_array_equal(found.moments.covariance, saved.covariance)
    assert (found.moments.n, found.features) == (9, None)


def test_moments_of_another_extractor_are_refused(clip, tmp_path):
    other = extractor(save_clip(tmp_path / "other", seed=1))
    saved = moments(np.random.default_rng(0).normal(size=(9, 6)))
    file = save_moments(tmp_path / "moments.safetensors", saved, other)
    with pytest.raises(BadValueError, match=f"extractor {other.hash[:12]} .*{clip.hash[:12]}"):
        read_reference(file, clip, tmp_path / "cache")


def test_moments_of_another_width_are_refused(clip, tmp_path):
    saved = moments(np.random.default_rng(0).normal(size=(9, 5)))
    file = save_moments(tmp_path / "moments.safetensors", saved, clip)
    with pytest.raises(
        BadValueError, match=r"are of \(5,\) values and 9 images, .* gives 6 values"
    ):
        read_reference(file, clip, tmp_path / "cache")


def test_moments_that_are_damaged_are_refused_by_the_name_of_their_file(clip, tmp_path):
    saved = moments(np.random.default_rng(0).normal(size=(9, 6)))
    for name, values in (
        ("nan", {"mean": np.full(6, np.nan)}),
        ("minus", {"covariance": -saved.covariance}),
        ("shape", {"covariance": np.eye(5)}),
    ):
        tensors = {"mean": saved.mean, "covariance": saved.covariance, "n": np.array([9]), **values}
        file = tmp_path / f"{name}.safetensors"
        save_file(tensors, file, metadata={"extractor": clip.hash})
        with pytest.raises(BadValueError, match=rf"{name}\.safetensors' cannot be used: "):
            read_reference(file, clip, tmp_path / "cache")


def test_the_digest_is_of_the_pictures_alone(clip, tmp_path):
    save_pictures(tmp_path / "in", 3)
    first = read_reference(tmp_path / "in", clip, tmp_path / "cache").digest
    (tmp_path / "in/000.png").rename(tmp_path / "in/zzz.png")
    assert read_reference(tmp_path / "in", clip, tmp_path / "cache").digest == first
    save_pictures(tmp_path / "in", 1, start=7)
    assert read_reference(tmp_path / "in", clip, tmp_path / "cache").digest != first


def test_a_parquet_file_is_its_pictures(clip, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    files = save_pictures(tmp_path / "in", 5)
    encoded = [file.read_bytes() for file in files]
    structs = [{"bytes": data, "path": None} for data in encoded]
    folder = read_reference(tmp_path / "in", clip, tmp_path / "cache")
    for name, column in (("plain", encoded), ("published", structs)):
        table = pyarrow.table({"caption": ["x"] * 5, "image": column})
        parquet.write_table(table, tmp_path / f"{name}.parquet", row_group_size=2)
        found = read_reference(tmp_path / f"{name}.parquet", clip, tmp_path / "cache")
        np.testing.assert_array_equal(found.features, folder.features)
        assert found.digest == folder.digest


def test_the_scenes_are_those_of_the_embedded_clip(clip, tmp_path, monkeypatch):
    found = read_reference(SCENES, extractor(), tmp_path)
    scenes = load_scenes()
    np.testing.assert_array_equal(found.moments.mean, scenes.moments.mean)
    np.testing.assert_array_equal(found.features, scenes.features)
    with pytest.raises(BadValueError, match="those of the embedded CLIP"):
        read_reference(SCENES, clip, tmp_path)
    other = replace(scenes, clip="f" * 64)
    monkeypatch.setattr("safelatent.features.reference.load_scenes", lambda: other)
    with pytest.raises(BadValueError, match="embedded by the CLIP ffffffffffff"):
        read_reference(SCENES, extractor(), tmp_path)


def test_what_is_no_reference_is_refused(clip, tmp_path):
    with pytest.raises(BadValueError, match="neither a folder of images nor a file"):
        read_reference(tmp_path / "nowhere", clip, tmp_path)
    for count, words in ((0, "holds no image; it needs two"), (1, "holds one image")):
        (tmp_path / f"in-{count}").mkdir()
        save_pictures(tmp_path / f"in-{count}", count)
        with pytest.raises(BadValueError, match=words):
            read_reference(tmp_path / f"in-{count}", clip, tmp_path)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing of the kind")
    with pytest.raises(BadValueError, match="is not a file of moments"):
        read_reference(broken, clip, tmp_path)
