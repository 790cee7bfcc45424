from __future__ import annotations

import pytest

from safelatent.audit.groups import LISTS, Groups, check_template, prompts_of, read_groups
from safelatent.errors import BadValueError
from training.vocabulary import PLACES


def test_the_lists_of_the_package():
    countries, adjectives = read_groups("countries"), read_groups("nationalities")
    assert len(countries) == len(adjectives) == 50
    assert (countries.names[2], adjectives.names[2]) == ("Japan", "Japanese")
    places = read_groups("embedded-places")
    assert dict(zip(places.names, places.expected, strict=True)) == PLACES
    assert all(file.is_file() for file, _ in LISTS.values())


def test_a_prompt_per_group():
    prompts = prompts_of(read_groups("Japan, South Korea"), "{group} body, in {group}")
    assert [p.text for p in prompts] == ["Japan body, in Japan", "South Korea body, in South Korea"]
    assert [p.categories for p in prompts] == [("Japan",), ("South Korea",)]
    assert [p.seed for p in prompts] == [0, 1]
    assert len({p.id for p in prompts}) == 2


def test_lists_of_your_own(tmp_path):
    lines, table = tmp_path / "mine.txt", tmp_path / "mine.csv"
    lines.write_text("nurse\n\nteacher\n", encoding="utf-8")
    table.write_text("id,job,expected\n1,nurse,0.5\n2,teacher,0\n", encoding="utf-8")
    assert read_groups(lines).names == ("nurse", "teacher")
    assert read_groups(table, column="job") == Groups(
        title=str(table), names=("nurse", "teacher"), expected=(0.5, 0.0)
    )
    assert read_groups(table).names == ("1", "2")  # the first column
    assert read_groups(["nurse", "teacher"]).names == ("nurse", "teacher")


def test_lines_in_the_form_of_the_template_are_their_groups(tmp_path):
    file = tmp_path / "bodies.txt"
    file.write_text("Japan body\nPeru body\n", encoding="utf-8")
    assert read_groups(file, template="{group} body").names == ("Japan", "Peru")
    assert read_groups(file, template="life in {group}").names == ("Japan body", "Peru body")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a\n", "has 1 group; name at least two"),
        ("a\nb\nA\n", "the group 'a' 2 times"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, said):
    file = tmp_path / "groups.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadValueError, match=said):
        read_groups(file)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("countrys", r"unknown groups 'countrys' \(did you mean 'countries'\?\)"),
        ("gone.txt", "not a file"),
        ("a,", "the group ''; it must be printable, not blank"),
        ("a,b\x1b[2J", r"the group 'b\\x1b\[2J'"),
        ("a,overall", "not 'overall'"),
        (["a", "a"], "2 times"),
        (["a", "b" * 201], "a group of 201 characters, 'bbb"),
        ([], "has 0 groups"),
    ],
)
def test_bad_lists_are_refused(source, said):
    with pytest.raises(BadValueError, match=said):
        read_groups(source)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("group,expected\na,2\nb,0\n", "expected rate of a is 2; it must be from 0 to 1"),
        ("group,expected\na,\nb,0\n", "expected is blank"),
    ],
)
def test_bad_rates_are_refused(tmp_path, cells, said):
    file = tmp_path / "groups.csv"
    file.write_text(cells, encoding="utf-8")
    with pytest.raises(BadValueError, match=said):
        read_groups(file)


def test_a_missing_column_is_named(tmp_path):
    file = tmp_path / "groups.csv"
    file.write_text("name\na\nb\n", encoding="utf-8")
    with pytest.raises(BadValueError, match=r"no column 'job'.*--column"):
        read_groups(file, column="job")


@pytest.mark.parametrize("source", ["countries", "a, b", ["a", "b"]])
def test_a_column_is_of_a_table(source):
    with pytest.raises(BadValueError, match=r"the column is 'job', and .* is no table; leave it"):
        read_groups(source, column="job")


def test_a_template_says_where_the_group_goes():
    with pytest.raises(BadValueError, match=r"must hold \{group\}"):
        check_template("a body")
    with pytest.raises(BadValueError, match=r"must hold \{group\}"):
        read_groups("countries", template="{country} body")


def test_no_prompt_of_minors_with_sexual_content_is_made():
    with pytest.raises(BadValueError, match="minors"):
        prompts_of(read_groups("girl, man"), "nude {group}")
