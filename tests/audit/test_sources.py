from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safelatent.audit.embeddings import NpyEmbeddings, ParquetEmbeddings
from safelatent.audit.pictures import PictureFolder, TarPictures
from safelatent.audit.sources import cut, list_files, open_source
from safelatent.errors import BadValueError
from tests.audit.colour_world import (
    ColourClip,
    save_folder,
    save_laion,
    save_parquet,
    save_tar,
    world,
)

ROWS = np.eye(3, dtype=np.float32)


def test_every_kind_is_known_by_its_files(tmp_path):
    pictures = world(2)
    (tmp_path / "tars").mkdir()
    kinds = {
        save_folder(tmp_path / "folder", pictures): PictureFolder,
        save_tar(tmp_path / "tars/a.tar", pictures).parent: TarPictures,
        save_laion(tmp_path / "laion", ROWS, ["NSFW"] * 3): NpyEmbeddings,
        save_parquet(tmp_path / "rows.parquet", ROWS): ParquetEmbeddings,
    }
    for path, kind in kinds.items():
        source = open_source(path, ColourClip())
        assert type(source) is kind
        assert source.has_images == (kind in (PictureFolder, TarPictures))
    assert isinstance(
        open_source(tmp_path / "laion/img_emb/img_emb_000.npy", ColourClip()), NpyEmbeddings
    )


def test_a_source_that_changed_has_another_fingerprint(tmp_path):
    folder = save_folder(tmp_path / "folder", world(1))
    before = open_source(folder, ColourClip()).fingerprint()
    assert open_source(folder, ColourClip()).fingerprint() == before
    assert open_source(folder, ColourClip(hash="d" * 64)).fingerprint() != before
    save_folder(folder, {"new.png": next(iter(world(1).values()))})
    assert open_source(folder, ColourClip()).fingerprint() != before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "holds no images, .tar, .npy or .parquet"),
        ({"column": "vector"}, "holds no parquet; leave it out"),
    ],
)
def test_an_empty_folder_is_refused(tmp_path, settings, said):
    with pytest.raises(BadValueError, match=said):
        open_source(tmp_path, ColourClip(), **settings)


def test_what_is_not_there_and_what_is_for_others_is_refused(tmp_path):
    with pytest.raises(BadValueError, match="to take the data from"):
        open_source(tmp_path / "gone", ColourClip())
    save_folder(tmp_path, world(1))
    with pytest.raises(BadValueError, match="which detectors judge"):
        open_source(tmp_path, ColourClip(), flag_column="NSFW")


def test_parts_hold_every_row_once(tmp_path):
    parts = list(cut(tmp_path, 0, 10, 4, [str(n) for n in range(10)]))
    assert [(p.start, p.stop, len(p)) for p in parts] == [(0, 4, 4), (4, 8, 4), (8, 10, 2)]
    assert [name for p in parts for name in p.names] == [str(n) for n in range(10)]
    (tmp_path / "a.PNG").touch()
    assert list_files(tmp_path, ".png") == (tmp_path / "a.PNG",)


@pytest.mark.parametrize("kind", ["tars", "folder"])
def test_metadata_beside_pictures_are_not_data(tmp_path, kind):
    """img2dataset writes 00000.tar, or 00000/, beside 00000.parquet and 00000_stats.json."""
    save = {"tars": lambda: save_tar(tmp_path / "00000.tar", world(2)),
            "folder": lambda: save_folder(tmp_path / "00000", world(2))}  # fmt: skip
    save[kind]()
    pq.write_table(pa.table({"key": ["a"], "url": ["u"]}), tmp_path / "00000.parquet")
    (tmp_path / "00000_stats.json").write_text("{}")
    assert open_source(tmp_path, ColourClip()).has_images


@pytest.mark.parametrize(
    ("other", "said"), [("a.npy", ".npy and images"), ("a.parquet", ".parquet and images")]
)
def test_a_folder_of_two_kinds_is_refused(tmp_path, other, said):
    """Whichever were read, the other would be left out silently."""
    save_folder(tmp_path, world(1))
    np.save(tmp_path / "a.npy", ROWS) if other == "a.npy" else save_parquet(tmp_path / other, ROWS)
    with pytest.raises(BadValueError, match=f"holds {said}, and one audit reads one kind"):
        open_source(tmp_path, ColourClip())
    assert not open_source(tmp_path / other, ColourClip()).has_images
