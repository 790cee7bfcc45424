"""Files by their endings: JSON, JSON Lines, parquet, and what is something else than it says."""

from __future__ import annotations

import gzip
import json
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safelatent.errors import BadValueError, UnsupportedError
from safelatent.prompts.files import READERS, read


def file(folder, name: str, data: str | bytes):
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


def cells(path) -> list[dict]:
    return [dict(row.cells) for row in read(path).rows]


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


@pytest.mark.slow
def test_a_million_rows_are_read_one_by_one_and_a_fault_in_the_last_is_named(tmp_path):
    path = file(tmp_path, "a.csv", "prompt\n" + "a cat\n" * 1_000_000 + "a,b\n")
    rows = read(path).rows
    assert rows is iter(rows)
    assert sum(1 for _ in zip(range(1_000_000), rows, strict=False)) == 1_000_000
    with pytest.raises(BadValueError, match="line 1000002: there are 2 cells for 1 columns"):
        next(rows)


KEYS = ("a", "ü", "\U0001f600")


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), st.text(max_size=8)), max_size=6))
def test_jsonl_gives_back_what_was_written(tmp_path_factory, objects):
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    first = dict.fromkeys(KEYS, "x")
    path.write_text(
        "".join(json.dumps(value) + "\n" for value in (first, *objects)), encoding="utf-8"
    )
    assert cells(path) == [first, *objects]


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), st.text(max_size=8)), max_size=6))
def test_a_json_list_gives_the_rows_of_json_lines(tmp_path_factory, objects):
    path = tmp_path_factory.mktemp("json") / "a.json"
    first = dict.fromkeys(KEYS, "x")
    path.write_text(json.dumps([first, *objects], indent=1), encoding="utf-8-sig")
    assert cells(path) == [first, *objects]


def test_a_json_list_of_texts_has_the_column_of_a_text_file(tmp_path):
    table = read(file(tmp_path, "a.json", '["a cat", " ", "a\\ndog "]'))
    assert table.columns == ("line",)
    rows = list(table.rows)
    assert [row.cells for row in rows] == [{"line": "a cat"}, {}, {"line": "a\ndog"}]
    assert (rows[2].place, rows[2].at) == ("item", 3)


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
        ("a.csv", b"\xfca,b\n1,2\n", "line 1: byte 0 is 0xfc, which is not UTF-8"),
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
        ("a.jsonl", b'{"a": 1, "a": 2}\n', "line 1: a name appears twice"),
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
        ("a.json", b"{}", "begins '{}'; give a list of objects, or of texts"),
        ("a.json", b'{"data": []}', 'begins \'{"data": '),
        ("a.json", b"3", "begins '3'; give a list"),
        ("a.json", b"[]", "holds no table"),
        ("a.json", b"[{}]", "holds no table"),
        ("a.json", b'[{"a": 1}', "a.json: Expecting .*; give a list of objects, or of texts"),
        ("a.json", b'[{"a": 1}, 3]', "item 2: it is '3'; each item must be an object or a text"),
        ("a.json", b'[{"a": 1, "a": 2}]', "a name appears twice"),
        ("a.json", b'[{"a": 1}, {"b": 2}]', "item 2: the key 'b' is not in the first row"),
        ("a.json", b'["x", {"b": 2}]', "item 2: the key 'b' is not in the first row"),
        ("a.json", b"[" * 100_000, "give a list of objects, or of texts"),
        ("a.json", b'["\xff"]', "line 1: byte 2 is 0xff"),
        ("a.xlsx", b"x", "ends in '.xlsx'; prompts are read from .csv, .tsv, .json, "),
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


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(b"prompt\na cat\n", mtime=0), "is compressed by gzip; unpack it"),
        (b"PK\x03\x04\x14\x00", "is an Excel workbook or a zip archive; save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an Excel workbook; save the sheet as CSV"),
        ("prompt\na cat\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ("\ufeffprompt\na cat\n".encode("utf-16-be"), "is UTF-16 text; save it as UTF-8"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS"),
        (b"<!DOCTYPE html>\n<html>", "is a web page; download the file itself"),
        (b"<HTML lang='en'>", "is a web page"),
    ],
    ids=lambda v: str(v)[:20],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.parquet", "a.txt"])
def test_a_file_behind_another_ending_is_named(tmp_path, name, data, message):
    with pytest.raises(BadValueError, match=rf"{name} {message}"):
        read(file(tmp_path, name, data))


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("a.csv.gz", "unpack it"), ("a.ZIP", "unpack it"), ("a.xlsx", "save the sheet as CSV")],
)
def test_another_ending_has_a_remedy(tmp_path, name, remedy):
    message = rf"prompts are read from \.csv, \.tsv, \.json, .*; {remedy}$"
    with pytest.raises(BadValueError, match=message):
        read(file(tmp_path, name, "x"))


def test_a_file_that_cannot_be_opened_is_one_line(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = file(tmp_path, "a.csv", "prompt\na cat\n")
    table = read(path)
    monkeypatch.setattr("pathlib.Path.open", refuse)
    for call in (lambda: read(path), lambda: list(table.rows)):
        with pytest.raises(BadValueError, match=r"a\.csv cannot be read: Permission denied$"):
            call()


def test_no_file_and_a_folder(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for name in ("none.csv", "folder.csv"):
        with pytest.raises(BadValueError, match=r"is not a file; .* ends in .csv, .*, .txt$"):
            read(tmp_path / name)


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
    message = (
        r"the parquet file '.*a\.parquet' needs pyarrow; run pip install \"safelatent\[bench\]\""
    )
    with pytest.raises(UnsupportedError, match=message):
        read(file(tmp_path, "a.parquet", b"PAR1"))


def test_pictures_in_a_parquet_file_are_not_read(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    pictures = [{"bytes": b"x", "path": "p"}]
    pq.write_table(pa.table({"image": pictures, "raw": [b"x"], "caption": ["a cat"]}), path)
    table = read(path)
    assert table.columns == ("caption",)
    assert [row.cells for row in table.rows] == [{"caption": "a cat"}]


ALMOST = st.text(
    st.sampled_from(list("ab01;,\t|\"'{}[]:\\ \n\r\ufeff\u2028é\U0001f600")), max_size=60
).map(str.encode)


@given(ALMOST | st.binary(max_size=60), st.sampled_from([n for n in READERS if n != ".parquet"]))
@settings(max_examples=400)
def test_any_bytes_are_read_or_refused_in_one_line(folder, data, ending):
    found = outcome(file(folder, f"a{ending}", data))
    if isinstance(found, str):
        assert re.fullmatch(rf".*a\{ending}.*", found)
    else:
        columns, rows = found
        assert len(set(columns)) == len(columns) >= 1
        assert all(set(row) <= set(columns) for row in rows)


def outcome(path) -> tuple[tuple[str, ...], list[dict]] | str:
    """The columns and the cells, or the error's message."""
    try:
        return read(path).columns, cells(path)
    except BadValueError as error:
        return str(error)


@given(st.binary(max_size=40))
@settings(max_examples=50)
def test_any_bytes_are_no_parquet(folder, data):
    pytest.importorskip("pyarrow")
    with pytest.raises(BadValueError, match=r"^[^\n]*a\.parquet [^\n]*\Z"):
        read(file(folder, "a.parquet", data))
