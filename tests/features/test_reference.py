"""References: a folder, a file of moments, the scenes; and those of another extractor refused."""

from __future__ import annotations

import numpy as np
import pytest

from safelatent.errors import BadValueError
from safelatent.features import SCENES, extractor, image_features, read_reference, save_moments
from safelatent.metrics import moments
from safelatent.models.clip_model import load_scene_moments
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


def test_the_scenes_are_those_of_the_embedded_clip(clip, tmp_path):
    found = read_reference(SCENES, extractor(), tmp_path)
    np.testing.assert_array_equal(found.moments.mean, load_scene_moments().mean)
    assert found.features is None
    with pytest.raises(BadValueError, match="those of the embedded CLIP"):
        read_reference(SCENES, clip, tmp_path)


def test_what_is_no_reference_is_refused(clip, tmp_path):
    with pytest.raises(BadValueError, match="neither a folder of images nor a file"):
        read_reference(tmp_path / "nowhere", clip, tmp_path)
    save_pictures(tmp_path / "one", 1)
    with pytest.raises(BadValueError, match="holds 1 images; a reference needs two"):
        read_reference(tmp_path / "one", clip, tmp_path)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing of the kind")
    with pytest.raises(BadValueError, match="is no file of moments"):
        read_reference(broken, clip, tmp_path)
