"""Features on disk: computed once, known by bytes, resumed after anything."""

from __future__ import annotations

import shutil
from unittest.mock import patch

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from safelatent.errors import BadValueError
from safelatent.features import Extractor, extractor, image_features
from tests.features.tiny_clip import picture, save_clip, save_pictures


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return extractor(save_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture
def counted(monkeypatch):
    """Number of pictures in each call of the extractor."""
    calls: list[int] = []
    images = Extractor.images

    def counting(self, pictures):
        calls.append(len(pictures))
        return images(self, pictures)

    monkeypatch.setattr(Extractor, "images", counting)
    return calls


def test_the_features_are_the_extractors_in_the_files_order(clip, tmp_path):
    files = save_pictures(tmp_path / "in", 5)[::-1]
    expected = clip.images([picture(n) for n in (4, 3, 2, 1, 0)])
    for _ in range(2):  # computed, then stored
        found = image_features(files, clip, tmp_path / "cache")
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_an_image_is_computed_once_whatever_its_name(clip, counted, tmp_path):
    files = save_pictures(tmp_path / "in", 3)
    copy = shutil.copy(files[0], tmp_path / "copy.png")
    found = image_features([*files, copy], clip, tmp_path / "cache")
    assert counted == [3]
    np.testing.assert_array_equal(found[0], found[3])
    image_features(save_pictures(tmp_path / "in", 5), clip, tmp_path / "cache")
    assert counted == [3, 2]


def test_a_changed_image_is_computed_again(clip, counted, tmp_path):
    files = save_pictures(tmp_path / "in", 2)
    before = image_features(files, clip, tmp_path / "cache")
    picture(99).save(files[1])
    after = image_features(files, clip, tmp_path / "cache")
    assert counted == [2, 1]
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(before[1], after[1])


def test_another_extractor_never_meets_these_numbers(clip, counted, tmp_path):
    files = save_pictures(tmp_path / "in", 2)
    other = extractor(save_clip(tmp_path / "other", seed=1))
    first = image_features(files, clip, tmp_path / "cache")
    assert not np.allclose(image_features(files, other, tmp_path / "cache"), first)
    assert counted == [2, 2]
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_memory_holds_one_part_and_a_broken_image_loses_only_its_part(clip, counted, tmp_path):
    files = save_pictures(tmp_path / "in", 7)
    files[5].write_bytes(files[5].read_bytes()[:100])
    with patch("safelatent.features.stored._PART", 2):
        with pytest.raises(BadValueError, match=r"005\.png.* cannot be read"):
            image_features(files, clip, tmp_path / "cache")
        assert counted == [2, 2]
        picture(5).save(files[5])
        found = image_features(files, clip, tmp_path / "cache")
    assert counted == [2, 2, 2, 1]
    expected = clip.images([picture(n) for n in range(7)])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_features_that_are_not_finite_are_not_stored(clip, monkeypatch, tmp_path):
    monkeypatch.setattr(Extractor, "images", lambda self, pictures: np.full((1, 6), np.nan))
    files = save_pictures(tmp_path / "in", 1)
    with pytest.raises(BadValueError, match=r"000\.png' .* hold NaN or infinity"):
        image_features(files, clip, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("spoil", [lambda data: data[:50], lambda data: data[:-1], lambda _: b""])
def test_a_broken_store_is_named(clip, tmp_path, spoil):
    files = save_pictures(tmp_path / "in", 1)
    before = image_features(files, clip, tmp_path / "cache")
    (stored,) = (tmp_path / "cache").rglob("*.safetensors")
    stored.write_bytes(spoil(stored.read_bytes()))
    with pytest.raises(BadValueError, match=f"{stored.name}' are broken .*; delete this file"):
        image_features(files, clip, tmp_path / "cache")
    stored.unlink()
    np.testing.assert_array_equal(image_features(files, clip, tmp_path / "cache"), before)


def test_no_files_have_no_features(clip, tmp_path):
    assert image_features([], clip, tmp_path / "cache").shape == (0, 6)


def test_a_store_with_values_that_do_not_fit_is_named(clip, tmp_path):
    files = save_pictures(tmp_path / "in", 1)
    image_features(files, clip, tmp_path / "cache")
    (stored,) = (tmp_path / "cache").rglob("*.safetensors")
    good = load_file(stored)
    for tensors, words in (
        ({**good, "features": good["features"][:, :5].copy()}, r"shapes are \(1, 32\) and \(1, 5"),
        ({**good, "features": good["features"] * np.float32(np.inf)}, "NaN or infinity"),
        ({"features": good["features"]}, "digests"),
    ):
        save_file(tensors, stored)
        with pytest.raises(BadValueError, match=words):
            image_features(files, clip, tmp_path / "cache")
