"""Text files: lines, CSV in every common form, and files that are not what they say."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.prompts.files import read
from safelatent.prompts.text_files import MAX_CELL


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


@given(
    st.lists(
        st.lists(
            st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8),
            min_size=2,
            max_size=2,
        ),
        max_size=6,
    ),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_csv_gives_back_what_was_written(tmp_path_factory, table, separator, end, marked):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    coding = "utf-8-sig" if marked else "utf-8"
    # Where lines end in \n, csv does not quote a lone \r by itself.
    quoting = csv.QUOTE_ALL if end == "\n" else csv.QUOTE_MINIMAL
    with path.open("w", encoding=coding, newline="") as stream:
        writer = csv.writer(stream, delimiter=separator, lineterminator=end, quoting=quoting)
        writer.writerows([["a", "b"], *table])
    expected = [dict(zip("ab", row, strict=True)) if any(row) else {} for row in table]
    assert cells(path) == expected


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"], ids=repr)
@pytest.mark.parametrize("name", ["a.csv", "a.TSV"])
def test_the_header_says_what_separates(tmp_path, name, separator):
    """Names in quotes may hold the other separators, and cells may without quotes."""
    others = ",;\t|".replace(separator, "")
    rows = [
        f'prompt{separator}"a{others}{others}b"{separator}seed',
        f"x{others}{separator}y{separator}1",
    ]
    table = read(file(tmp_path, name, "\n".join(rows)))
    assert table.columns == ("prompt", f"a{others}{others}b", "seed")
    assert [row.cells["prompt"] for row in table.rows] == [f"x{others}"]


def test_a_header_of_several_lines_and_of_several_separators(tmp_path):
    path = file(tmp_path, "a.csv", 'prompt;"a,\nb,\nc,"\nx;y\n')
    assert cells(path) == [{"prompt": "x", "a,\nb,\nc,": "y"}]
    assert read(file(tmp_path, "a.csv", "prompt;size, w;seed\n")).columns == (
        "prompt",
        "size, w",
        "seed",
    )
    one = file(tmp_path, "a.csv", "prompt\na;b\n")
    assert cells(one) == [{"prompt": "a;b"}], "without a separator it is one column"


@pytest.mark.parametrize(
    ("header", "row", "what"),
    [("a,b", "1,2,3", "commas"), ("a;b", "1;2;3", "semicolons"), ("a\tb", "1\t2\t3", "tabs")],
)
def test_too_many_cells_name_the_separator(tmp_path, header, row, what):
    path = file(tmp_path, "a.csv", f"{header}\n{row}\n")
    message = f"line 2: there are 3 cells for 2 columns; put cells that hold {what} in quotes"
    with pytest.raises(BadValueError, match=message):
        cells(path)


def test_columns_without_a_name_are_not_read(tmp_path):
    """Spreadsheets leave them behind, also in rows that are blank otherwise."""
    path = file(tmp_path, "a.csv", ",prompt,, \n0,a cat,,x\n1,,,\n,,,\n")
    assert read(path).columns == ("prompt",)
    assert cells(path) == [{"prompt": "a cat"}, {"prompt": ""}, {}]


@pytest.mark.parametrize("text", ["\n\nprompt\na cat\n", ",,\n1,2,3\n", " ; \n", "\ufeff"])
def test_a_file_without_a_header(tmp_path, text):
    with pytest.raises(BadValueError, match="holds no table: line 1 has no names of columns"):
        read(file(tmp_path, "a.csv", text))


def test_two_files_are_read_in_turns(tmp_path):
    """The limit for cells is the process'; one reader that ends does not narrow the other's."""
    long = "x" * 200_000
    first = read(file(tmp_path, "a.csv", f"a\n1\n{long}\n")).rows
    second = read(file(tmp_path, "b.csv", f"a\n1\n{long}\n")).rows
    assert [next(first).cells, next(second).cells] == [{"a": "1"}] * 2
    first.close()
    assert next(second).cells == {"a": long}
    assert csv.field_size_limit() < 200_000


def test_bad_bytes_far_into_a_file_are_found(tmp_path):
    path = file(tmp_path, "a.csv", b"a,b\n" + b"word,1\n" * 20_000 + b"\xc3,1\n")
    with pytest.raises(BadValueError, match=f"line 20002: byte {4 + 7 * 20_000} is 0xc3"):
        cells(path)


def test_a_huge_cell_is_read_and_a_monstrous_one_is_not(tmp_path, monkeypatch):
    before = csv.field_size_limit()
    path = file(tmp_path, "a.csv", "a,b\n" + "x" * 1_000_000 + ",1\n")
    assert len(cells(path)[0]["a"]) == 1_000_000
    assert csv.field_size_limit() == before, "the limit of other readers is as it was"
    monkeypatch.setattr("safelatent.prompts.text_files.MAX_CELL", 1000)
    assert MAX_CELL == 2**24
    with pytest.raises(BadValueError, match=r"line 2: field larger than field limit \(1000\)"):
        cells(path)
    assert csv.field_size_limit() == before


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
