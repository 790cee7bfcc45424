from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safelatent.audit import embeddings
from safelatent.audit.sources import open_source
from safelatent.errors import BadValueError
from tests.audit.colour_world import ColourClip, save_laion, save_parquet

ROWS = np.random.default_rng(0).normal(size=(25, 4)).astype(np.float32)
FLAGS = ["NSFW", "UNLIKELY", None, "UNSURE", ""] * 5


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(embeddings, "PART", 6)


def all_rows(source) -> np.ndarray:
    return np.concatenate([read.vectors for read in source.read(source.parts())])


def test_laions_layout_gives_rows_and_their_metadata(tmp_path):
    source = open_source(save_laion(tmp_path / "laion", ROWS, FLAGS), ColourClip())
    np.testing.assert_allclose(all_rows(source), ROWS.astype(np.float16))
    part = source.parts()[-1]
    assert part.file.name == "img_emb_001.npy"
    [fact] = source.facts(part, [0])
    row = 13 + part.start
    assert fact == {
        "name": f"metadata_1.parquet {part.start}",
        "id": f"{row:09d}",
        "caption": f"caption {row}",
        "url": f"https://example.org/{row}",
        "flag": FLAGS[row],
    }


@pytest.mark.parametrize("given", ["img_emb", "img_emb/img_emb_001.npy"])
def test_the_metadata_are_found_from_the_arrays_too(tmp_path, given):
    source = open_source(save_laion(tmp_path / "laion", ROWS, FLAGS) / given, ColourClip())
    [fact] = source.facts(source.parts()[-1], [0])
    assert fact["name"].startswith("metadata_1.parquet")


def test_a_flag_column_is_looked_for_before_anything_is_indexed(tmp_path):
    """Without it every image would be one that cannot be judged."""
    np.save(tmp_path / "a.npy", ROWS)
    with pytest.raises(BadValueError, match=r"'NSFW', and '.*a\.npy' has no metadata, which are"):
        open_source(tmp_path / "a.npy", ColourClip(), flag_column="NSFW").parts()
    laion = save_laion(tmp_path / "laion", ROWS, FLAGS)
    table = save_parquet(tmp_path / "a.parquet", ROWS)
    for place in (laion, table):
        with pytest.raises(BadValueError, match="has no column 'nsfww'; its columns are: "):
            open_source(place, ColourClip(), flag_column="nsfww").parts()


def test_an_array_alone_has_rows_and_no_facts(tmp_path):
    np.save(tmp_path / "a.npy", ROWS)
    source = open_source(tmp_path / "a.npy", ColourClip())
    np.testing.assert_allclose(all_rows(source), ROWS)
    assert source.facts(source.parts()[1], [0]) == [{"name": "a.npy 6"}]
    assert "no pictures" in str(source.image(source.parts()[0], 0))


def test_parquet_gives_rows_in_parts_and_facts(tmp_path):
    file = save_parquet(tmp_path / "a.parquet", ROWS, NSFW=FLAGS, caption=["c"] * 25)
    source = open_source(file, ColourClip())
    assert [(p.start, p.stop) for p in source.parts()] == [
        (0, 6), (6, 10), (10, 16), (16, 20), (20, 25)
    ]  # fmt: skip
    np.testing.assert_allclose(all_rows(source), ROWS)
    [read] = source.read(source.parts()[3:4])  # as a build that is resumed
    np.testing.assert_allclose(read.vectors, ROWS[16:20])
    assert source.facts(source.parts()[3], [1, 3]) == [
        {"name": f"a.parquet {n}", "id": n, "caption": "c", "flag": FLAGS[n]} for n in (17, 19)
    ]


def test_a_list_of_fixed_size_and_a_missing_one(tmp_path):
    lists = pa.FixedSizeListArray.from_arrays(pa.array(ROWS.ravel()), 4)
    pq.write_table(pa.table({"emb": lists}), tmp_path / "a.parquet")
    np.testing.assert_allclose(all_rows(open_source(tmp_path / "a.parquet", ColourClip())), ROWS)
    missing = pa.array([[1.0, 2.0], None, [3.0, 4.0]], type=pa.list_(pa.float32()))
    pq.write_table(pa.table({"emb": missing}), tmp_path / "a.parquet")
    rows = all_rows(open_source(tmp_path / "a.parquet", ColourClip()))
    np.testing.assert_array_equal(rows[[0, 2]], [[1, 2], [3, 4]])
    assert np.isnan(rows[1]).all()


@pytest.mark.parametrize(
    ("column", "said"),
    [("other", "does not have a column 'other' of embeddings"), (None, "does not have one column")],
)
def test_a_parquet_without_the_column_is_refused(tmp_path, column, said):
    pq.write_table(pa.table({"url": ["a"], "a": [[1.0]], "b": [[2.0]]}), tmp_path / "a.parquet")
    with pytest.raises(BadValueError, match=f"{said}.*it has 'a', 'b'.*--column"):
        open_source(tmp_path / "a.parquet", ColourClip(), column=column).parts()


def test_lists_of_different_lengths_are_refused(tmp_path):
    pq.write_table(pa.table({"v": [[1.0, 2.0], [3.0]]}), tmp_path / "a.parquet")
    with pytest.raises(BadValueError, match="have 1, 2 values; all must have the same"):
        all_rows(open_source(tmp_path / "a.parquet", ColourClip()))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(4, np.float32), r"shape \(4,\)"),
        (np.zeros((4, 2), int), "type int64"),
        (np.zeros((0, 2), np.float32), r"shape \(0, 2\)"),
    ],
)
def test_arrays_that_are_no_embeddings_are_refused(tmp_path, array, said):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(BadValueError, match=said):
        open_source(tmp_path, ColourClip()).parts()


def test_broken_files_are_refused(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"no array")
    with pytest.raises(BadValueError, match=r"not a complete \.npy array"):
        open_source(tmp_path / "a.npy", ColourClip()).parts()
    np.save(tmp_path / "a.npy", ROWS)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:200])
    with pytest.raises(BadValueError, match=r"not a complete \.npy array"):
        open_source(tmp_path / "a.npy", ColourClip()).parts()
    (tmp_path / "b.parquet").write_bytes(b"no table")
    with pytest.raises(BadValueError, match="not a complete parquet"):
        open_source(tmp_path / "b.parquet", ColourClip()).parts()


def test_arrays_that_do_not_belong_together_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", ROWS)
    np.save(tmp_path / "b.npy", ROWS[:, :2])
    with pytest.raises(BadValueError, match=r"has 2 values per row and .* has 4"):
        open_source(tmp_path, ColourClip()).parts()
    laion = save_laion(tmp_path / "laion", ROWS, FLAGS)
    np.save(laion / "img_emb/img_emb_001.npy", ROWS[:5])
    with pytest.raises(BadValueError, match=r"has 5 rows and .* 12"):
        open_source(laion, ColourClip()).parts()
