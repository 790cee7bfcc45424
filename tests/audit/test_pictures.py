from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from safelatent.audit import pictures
from safelatent.audit.sources import open_source
from safelatent.errors import BadValueError
from tests.audit.colour_world import ColourClip, save_folder, save_tar, world


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(pictures, "PART", 5)


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_pictures_are_embedded_named_and_opened_again(tmp_path, kind):
    images = world(4)
    path = (
        save_folder(tmp_path / "f", images)
        if kind == "folder"
        else save_tar(tmp_path / "a.tar", images)
    )
    source, clip = open_source(path, ColourClip()), ColourClip()
    parts = source.parts()
    assert [len(part) for part in parts] == [5, 5, 2]
    reads = list(source.read(parts))
    names = [name for part in parts for name in part.names]
    assert sorted(names) == sorted(images)
    expected = clip.images([images[name] for name in names])
    np.testing.assert_array_equal(np.concatenate([read.vectors for read in reads]), expected)
    opened = source.image(parts[1], 2)
    assert isinstance(opened, Image.Image)
    np.testing.assert_array_equal(np.asarray(opened), np.asarray(images[parts[1].names[2]]))
    [fact] = source.facts(parts[1], [2])
    assert parts[1].names[2] in fact["name"]


def test_a_broken_picture_is_nan_with_its_reason(tmp_path):
    folder = save_folder(tmp_path, world(2))
    (folder / "red/000.png").write_bytes(b"no picture")
    [part] = open_source(folder, ColourClip(batch_size=2)).parts()[:1]
    source = open_source(folder, ColourClip(batch_size=2))
    [read] = source.read([part])
    row = part.names.index("red/000.png")
    assert np.isnan(read.vectors[row]).all()
    assert np.isfinite(np.delete(read.vectors, row, axis=0)).all()
    assert "cannot be read" in read.broken[row]
    assert isinstance(source.image(part, row), BadValueError)


def test_a_broken_tar_is_refused(tmp_path):
    tar = save_tar(tmp_path / "a.tar", world(2))
    tar.write_bytes(tar.read_bytes()[:1500])
    with pytest.raises(BadValueError, match=r"a\.tar' is not a complete tar .*copy it again"):
        open_source(tar, ColourClip()).parts()
    tar.write_bytes(b"x" * 600)
    with pytest.raises(BadValueError, match="not a complete tar"):
        open_source(tar, ColourClip()).parts()


def test_a_tar_without_pictures_is_refused(tmp_path):
    with pytest.raises(BadValueError, match="hold no image"):
        open_source(save_tar(tmp_path / "a.tar", {}), ColourClip()).parts()
