"""Pictures in folders and parquet files: found, opened, known by their bytes."""

from __future__ import annotations

import numpy as np
import pytest

from safelatent.errors import BadValueError
from safelatent.features.pictures import open_picture, picture_digest, pictures_in
from safelatent.hashing import file_digest
from tests.features.tiny_clip import picture, save_pictures

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def write(file, **columns):
    parquet.write_table(pyarrow.table(columns), file, row_group_size=2)
    return file


def test_a_folder_holds_files_and_rows_of_parquet_files(tmp_path):
    files = save_pictures(tmp_path / "in", 3)
    save_pictures(tmp_path / "in/deeper", 1, start=3)
    (tmp_path / "in/notes.txt").write_text("no picture")
    write(tmp_path / "in/more.parquet", image=[file.read_bytes() for file in files])
    found = pictures_in(tmp_path / "in")
    assert len(found) == 7
    for one, seed in zip(found, (0, 1, 2, 3, 0, 1, 2), strict=True):
        np.testing.assert_array_equal(np.asarray(open_picture(one)), np.asarray(picture(seed)))
    digests = [picture_digest(one) for one in found]
    assert digests[:3] == digests[4:] == [file_digest(file) for file in files]


def test_the_column_is_the_one_with_pictures(tmp_path):
    [file] = save_pictures(tmp_path, 1)
    data = file.read_bytes()
    for columns in (
        {"mask": [b"other"], "image": [data]},
        {"caption": ["x"], "picture": [data]},
        {"caption": ["x"], "jpg": [{"bytes": data, "path": "a.jpg"}]},
    ):
        [found] = pictures_in(write(tmp_path / "x.parquet", **columns))
        assert picture_digest(found) == file_digest(file), columns


def test_a_changed_file_has_another_digest(tmp_path):
    [file] = save_pictures(tmp_path, 1)
    before = picture_digest(file)
    picture(5).save(file)
    assert picture_digest(file) == file_digest(file) != before


def test_bad_rows_and_files_are_one_line(tmp_path):
    rows = pictures_in(write(tmp_path / "rows.parquet", image=[b"", None, b"no picture"]))
    for row in rows:
        with pytest.raises(
            BadValueError, match=r"rows\.parquet, row group \d, row \d' (cannot be read|is empty)"
        ):
            open_picture(row)
    with pytest.raises(BadValueError, match=r"no column of encoded pictures \(its columns: a, b\)"):
        pictures_in(write(tmp_path / "none.parquet", a=[1], b=["x"]))
    (tmp_path / "broken.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(BadValueError, match="is not a parquet file"):
        pictures_in(tmp_path / "broken.parquet")


def test_metadata_beside_pictures_are_passed_over(tmp_path):
    save_pictures(tmp_path / "00000", 2)
    write(tmp_path / "00000.parquet", key=["a", "b"], url=["u", "v"])
    assert [one.suffix for one in pictures_in(tmp_path)] == [".png", ".png"]
    (tmp_path / "alone").mkdir()
    write(tmp_path / "alone/x.parquet", key=["a"])
    with pytest.raises(BadValueError, match="no column of encoded pictures"):
        pictures_in(tmp_path / "alone")
