"""Features on disk: computed once, known by bytes, resumed after anything."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from safelatent.errors import BadValueError
from safelatent.features import Extractor, extractor, group_features, image_features
from tests.features.mean_colour import MeanColour
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


def test_memory_holds_one_part_and_broken_images_lose_nothing_else(clip, counted, tmp_path):
    files = save_pictures(tmp_path / "in", 7)
    for spoilt in (files[3], files[5]):
        spoilt.write_bytes(spoilt.read_bytes()[:100])
    words = r"2 of 7 images cannot be used, .* others are kept; the first: .*003\.png.* cannot be"
    with patch("safelatent.features.stored.PART", 2):
        with pytest.raises(BadValueError, match=words):
            image_features(files, clip, tmp_path / "cache")
        assert counted == [2, 1, 1, 1]
        picture(3).save(files[3])
        picture(5).save(files[5])
        found = image_features(files, clip, tmp_path / "cache")
    assert counted == [2, 1, 1, 1, 2]
    expected = clip.images([picture(n) for n in range(7)])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_features_that_are_not_finite_are_not_stored(clip, monkeypatch, tmp_path):
    good = np.ones(6, dtype=np.float32)
    monkeypatch.setattr(Extractor, "rows", lambda self, groups: np.array([good, good * np.nan]))
    files = save_pictures(tmp_path / "in", 2)
    with pytest.raises(BadValueError, match=r"1 of 2 images .*001\.png' .* hold NaN or infinity"):
        image_features(files, clip, tmp_path / "cache")
    (stored,) = (tmp_path / "cache").rglob("*.safetensors")
    assert load_file(stored)["features"].shape == (1, 6), "the other one is kept"


def test_a_file_that_is_gone_is_one_line(clip, tmp_path):
    with pytest.raises(BadValueError, match=r"nowhere\.png' cannot be read \(No such file"):
        image_features([tmp_path / "nowhere.png"], clip, tmp_path / "cache")


def test_pairs_are_kept_by_both_and_in_order(tmp_path):
    first, second, third = save_pictures(tmp_path / "in", 3)
    calls: list[int] = []

    @dataclass(frozen=True, kw_only=True)
    class Counting(MeanColour):
        def rows(self, groups):
            calls.append(len(groups))
            return super().rows(groups)

    def features(*pairs):
        return group_features(pairs, Counting(), tmp_path / "cache")

    found = features((first, second), (second, first), (first, third))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    assert not np.allclose(found[0], found[2])
    np.testing.assert_array_equal(features((first, third)), found[2:])
    features((third, first))
    assert calls == [3, 1], "the other order is another pair"


@pytest.mark.slow
def test_a_killed_process_loses_at_most_a_part_and_resumes(tmp_path):
    """Killed with SIGKILL after some parts: every file there is whole, and nothing that was written
    is computed again.
    """
    files = save_pictures(tmp_path / "in", 24)
    program = [sys.executable, str(Path(__file__).with_name("mean_colour.py"))]
    place = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [*program, str(tmp_path / "in"), str(tmp_path / "cache")]
    for parts, least in ((1, 2), (3, 8), (0, 8), (4, 16)):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | place
        )
        for _ in range(1 + parts):
            assert process.stdout.readline()
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        kept = [load_file(file)["digests"] for file in (tmp_path / "cache").rglob("*.safetensors")]
        rows = [bytes(row) for digests in kept for row in digests]
        assert least <= len(rows) < 24, "it was killed in the middle"
        assert len(set(rows)) == len(rows), "no picture was computed twice"
    found = image_features(files, MeanColour(), tmp_path / "cache")
    np.testing.assert_array_equal(found, image_features(files, MeanColour(), tmp_path / "other"))


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


def test_parts_without_a_wanted_picture_are_not_read(clip, tmp_path):
    first, second = save_pictures(tmp_path / "in", 2)
    image_features([first], clip, tmp_path / "cache")
    (stored,) = (tmp_path / "cache").rglob("*.safetensors")
    image_features([second], clip, tmp_path / "cache")
    good = load_file(stored)
    save_file({**good, "features": good["features"] * np.float32(np.nan)}, stored)
    image_features([second], clip, tmp_path / "cache")
    with pytest.raises(BadValueError, match="NaN or infinity"):
        image_features([first, second], clip, tmp_path / "cache")


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
