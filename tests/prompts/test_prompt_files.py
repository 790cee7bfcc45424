from __future__ import annotations

import csv
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError, UnsupportedError
from safelatent.prompts.files import MAX_CELL, read


def file(folder, name: str, data: str | bytes):
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def cells(path) -> list[dict]:
    return [dict(row.cells) for row in read(path).rows]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("last", [True, False], ids=["last line ended", "not ended"])
def test_csv_in_every_common_form(tmp_path, mark, end, last):
    lines = ["prompt,seed", '"a cat, and a ""dog""",1', "été ☃,2"]
    data = mark + (end.join(lines) + (end if last else "")).encode()
    table = read(file(tmp_path, "a.csv", data))
    assert table.columns == ("prompt", "seed")
    rows = list(table.rows)
    assert [row.cells for row in rows] == [
        {"prompt": 'a cat, and a "dog"', "seed": "1"},
        {"prompt": "été ☃", "seed": "2"},
    ]
    assert [row.at for row in rows] == [2, 3]


def test_newlines_in_cells_and_the_line_where_a_row_begins(tmp_path):
    path = file(tmp_path, "a.csv", 'prompt,seed\n"a\n\nb",1\n"c\r\nd",2\ne,3\n')
    rows = list(read(path).rows)
    assert [row.cells["prompt"] for row in rows] == ["a\n\nb", "c\r\nd", "e"]
    assert [row.at for row in rows] == [2, 5, 7]


def test_blank_lines_are_rows_without_cells(tmp_path):
    assert cells(file(tmp_path, "a.csv", "prompt,seed\n\na,1\n,\n\n")) == [
        {},
        {"prompt": "a", "seed": "1"},
        {},
        {},
    ]
    assert cells(file(tmp_path, "a.jsonl", '\n{"prompt": "a"}\n  \n{}\n')) == [
        {},
        {"prompt": "a"},
        {},
        {},
    ]
    assert cells(file(tmp_path, "a.txt", "a\n\n b \n")) == [{"line": "a"}, {}, {"line": "b"}]


@given(
    st.lists(
        st.lists(
            st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8),
            min_size=2,
            max_size=2,
        ),
        max_size=6,
    )
)
def test_csv_gives_back_what_was_written(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["a", "b"], *table])
    expected = [dict(zip("ab", row, strict=True)) if any(row) else {} for row in table]
    assert cells(path) == expected


KEYS = ("a", "ü", "\U0001f600")


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), st.text(max_size=8)), max_size=6))
def test_jsonl_gives_back_what_was_written(tmp_path_factory, objects):
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    first = dict.fromkeys(KEYS, "x")
    path.write_text(
        "".join(json.dumps(value) + "\n" for value in (first, *objects)), encoding="utf-8"
    )
    assert cells(path) == [first, *objects]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\xef\xbb\xbf", "holds no table"),
        ("a.csv", b"\n", "holds no table"),
        ("a.jsonl", b"\n\n", "holds no table"),
        ("a.csv", b"a,b,a\n1,2,3\n", "the column 'a' more than once"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n", "line 3: there are 3 cells for 2 columns"),
        ("a.csv", b"a,b\n1\n", "line 2: there are 1 cells for 2 columns"),
        ("a.csv", b'a,b\n1,2\n"x,3\n4,5\n', "line 3: unexpected end of data; is a quote missing"),
        ("a.csv", b'a,b\n"x"y,3\n', "line 2: .*expected after"),
        ("a.csv", b"a,b\n1,x\0y\n", "line 2: there is a NUL byte"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "line 1: byte 0 is 0xff, which is not UTF-8"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16-le"), "line 1: there is a NUL byte"),
        ("a.csv", b"a,b\n1,2\n1,\xff2\n", "line 3: byte 10 is 0xff, which is not UTF-8"),
        ("a.csv", b"a,b\n1,caf\xe9\n", "line 2: byte 9 is 0xe9"),
        (
            "a.csv",
            b"a,b\n1,\xed\xa0\x80\n",
            "line 2: byte 6 is 0xed",
        ),  # half of a character, as UTF-8 must not hold it
        ("a.csv", b"a,b\n1,\xe2\x98", "line 2: byte 6 is 0xe2"),
        ("a.txt", b"caf\xe9", "line 1: byte 3 is 0xe9"),
        ("a.jsonl", b'{"a": 1}\n{"a": 1', "line 2: .*each line must be one JSON object"),
        (
            "a.jsonl",
            b'{"a": 1}\n[1]\n',
            r"line 2: it is '\[1\]'; each line must be one JSON object",
        ),
        ("a.jsonl", b'{"a": 1, "a": 2}\n', "line 1: a name stands twice"),
        (
            "a.jsonl",
            b'\n{"a": 1}\n{"a": 2, "seed": 3}\n',
            "line 3: the key 'seed' is not in the first row; give every row the same keys",
        ),
        (
            "a.jsonl",
            b'{"a": ' + b"[" * 200_000 + b"\n",
            "line 1: .*each line must be one JSON object",
        ),
        ("a.jsonl", b'{"a": "\x00"}\n', "line 1: there is a NUL byte"),
        ("a.parquet", b"PAR1 is not all", "is not a parquet file"),
        ("a.xlsx", b"x", "ends in '.xlsx'; prompts are read from .csv, .jsonl, .parquet, .txt"),
        ("csv", b"x", "ends in ''"),
    ],
    ids=lambda v: str(v)[:30],
)
def test_a_file_that_is_not_what_its_name_says(tmp_path, name, data, message):
    with pytest.raises(BadValueError, match=message) as caught:
        cells(file(tmp_path, name, data))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 400


def test_no_file_and_a_folder(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for name in ("none.csv", "folder.csv"):
        with pytest.raises(BadValueError, match="is not a file; give the path"):
            read(tmp_path / name)


def test_bad_bytes_far_into_a_file_are_found(tmp_path):
    path = file(tmp_path, "a.csv", b"a,b\n" + b"word,1\n" * 20_000 + b"\xc3,1\n")
    with pytest.raises(BadValueError, match=f"line 20002: byte {4 + 7 * 20_000} is 0xc3"):
        cells(path)


def test_a_huge_cell_is_read_and_a_monstrous_one_is_not(tmp_path, monkeypatch):
    before = csv.field_size_limit()
    path = file(tmp_path, "a.csv", "a,b\n" + "x" * 1_000_000 + ",1\n")
    assert len(cells(path)[0]["a"]) == 1_000_000
    assert csv.field_size_limit() == before, "the limit of other readers is as it was"
    monkeypatch.setattr("safelatent.prompts.files.MAX_CELL", 1000)
    assert MAX_CELL == 2**24
    with pytest.raises(BadValueError, match=r"line 2: field larger than field limit \(1000\)"):
        cells(path)
    assert csv.field_size_limit() == before


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    columns = {
        "prompt": ["a", None, "b"],
        "labels": [["x", "y"], None, []],
        "seed": pa.array([1, None, 2**33]),
    }
    pq.write_table(pa.table(columns), path)
    table = read(path)
    assert table.columns == ("prompt", "labels", "seed")
    rows = list(table.rows)
    assert rows[0].cells == {"prompt": "a", "labels": ["x", "y"], "seed": 1}
    assert [row.cells for row in rows[1:]] == [{}, {"prompt": "b", "labels": [], "seed": 2**33}]
    assert (rows[2].place, rows[2].at) == ("row", 3)


def test_parquet_with_doubled_columns_or_cut_off(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["a", "a"]), path)
    with pytest.raises(BadValueError, match="the column 'a' more than once"):
        read(path)
    pq.write_table(pa.table({"a": [f"word {n}" for n in range(5000)]}), path)
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadValueError, match="is not a parquet file"):
        read(path)
    data[100:3000] = bytes(2900)
    path.write_bytes(data)
    with pytest.raises(BadValueError, match="cannot be read after row 0"):
        cells(path)


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UnsupportedError, match=r'pip install "safelatent\[bench\]"'):
        read(file(tmp_path, "a.parquet", b"PAR1"))


def test_many_rows_are_a_stream(tmp_path):
    """50,000 rows are not held while they are read."""
    path = file(
        tmp_path,
        "a.csv",
        "prompt,seed\n" + "".join(f"a cat with {n} balloons,{n}\n" for n in range(50_000)),
    )
    rows = read(path).rows
    assert next(rows).cells == {"prompt": "a cat with 0 balloons", "seed": "0"}
    assert sum(int(row.cells["seed"]) for row in rows) == 50_000 * 49_999 // 2


@pytest.mark.slow
def test_a_million_rows(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w") as stream:
        stream.write("prompt,seed\n")
        stream.writelines(f"a cat with {n} balloons,{n}\n" for n in range(1_000_000))
    assert sum(int(row.cells["seed"]) for row in read(path).rows) == 1_000_000 * 999_999 // 2
