from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.prompts.rows import PromptRow, Table


def row(value: object) -> PromptRow:
    return PromptRow("x.csv", "line", 7, {"cell": value})


def test_whole_numbers():
    for value, number in (
        ("13", 13),
        (" 13 ", 13),
        ("13.0", 13),
        (13, 13),
        (13.0, 13),
        ("-1", -1),
        ("4290749014", 4290749014),
    ):
        assert row(value).whole("cell") == number
    for blank in ("", "  ", None):
        assert row(blank).whole("cell") is None
    for value in ("13.5", "1e3", "1_000", "0x10", "x", True, "nan", "²", "1" * 21, [1]):
        with pytest.raises(
            BadValueError, match=r"^x.csv, line 7: cell is .*; it must be a whole number$"
        ):
            row(value).whole("cell")


@given(st.integers(-(2**63), 2**63))
def test_every_seed_is_read_exactly(number):
    assert (
        row(str(number)).whole("cell")
        == row(number).whole("cell")
        == row(f"{number}.0").whole("cell")
        == number
    )


def test_numbers():
    for value, number in (("7.5", 7.5), ("1e1", 10), (7, 7), (0.1, 0.1), ("-0", 0)):
        assert row(value).number("cell") == number
    assert row("").number("cell") is None
    for value in ("nan", "inf", "1e999", "1_0", "x", True, float("nan")):
        with pytest.raises(BadValueError, match="it must be a finite number"):
            row(value).number("cell")


def test_flags():
    answers = [
        row(value).flag("cell")
        for value in ("1", 1, True, "TRUE", 1.0, "0", 0, False, "false", "", None)
    ]
    assert answers == [True] * 5 + [False] * 4 + [None] * 2
    with pytest.raises(BadValueError, match="cell is 'yes'; it must be 0 or 1"):
        row("yes").flag("cell")


def test_labels():
    assert row("violence, self-harm").labels("cell") == ("violence", "self-harm")
    assert row(["violence", " self-harm"]).labels("cell") == ("violence", "self-harm")
    assert row("").labels("cell") == row(None).labels("cell") == row([]).labels("cell") == ()
    for value in (3, [1], {"a": 1}):
        with pytest.raises(BadValueError, match="line 7"):
            row(value).labels("cell")


def test_the_keys_of_an_object_are_names():
    row = PromptRow(
        "a.json", "item", 1, {"label": {"violence, war": ["x"], "hate": []}, "other": "a, b"}
    )
    assert row.keys("label") == ("violence, war", "hate")
    assert row.keys("other") == ("a", "b")


def test_text_and_names():
    assert row(" a cat ").text("cell") == " a cat "
    assert row(None).text("cell") == ""
    assert row(203564).label("cell") == "203564"
    assert row(" 000203564 ").label("cell") == "000203564"
    with pytest.raises(BadValueError, match="cell is 3; it must be text"):
        row(3).text("cell")


def test_a_cell_that_is_not_there_or_must_not_be_blank():
    with pytest.raises(BadValueError, match=r"line 7: there is no 'sell'; the row has 'cell'"):
        row("1").text("sell")
    with pytest.raises(BadValueError, match="line 7: cell is blank; fill it in"):
        row("").given("cell", row("").whole)
    assert row("3").given("cell", row("3").whole) == 3


def test_a_long_value_is_shown_in_part():
    with pytest.raises(BadValueError) as caught:
        row("x" * 100_000).whole("cell")
    assert len(str(caught.value)) < 200


def test_columns_by_their_spellings():
    table = Table(source="x.csv", columns=("prompt", "evaluation_seed"), rows=iter(()))
    assert table.column("sd_seed", "evaluation_seed") == "evaluation_seed"
    assert table.find("id") is None
    message = "no column 'promt'; its columns are: 'prompt', 'evaluation_seed'; give another$"
    with pytest.raises(BadValueError, match=message):
        table.column("promt", remedy="give another")
    both = Table(source="x.csv", columns=("sd_seed", "evaluation_seed"), rows=iter(()))
    with pytest.raises(BadValueError, match="mean the same; keep one"):
        both.find("sd_seed", "evaluation_seed")
    with pytest.raises(BadValueError, match="column 'a' more than once"):
        Table(source="x.csv", columns=("a", "b", "a"), rows=iter(()))
    with pytest.raises(BadValueError, match="holds no table"):
        Table(source="x.csv", columns=(), rows=iter(()))


@pytest.mark.parametrize(
    "written", ["guidance_scale", "Guidance Scale", " guidance-scale ", "GUIDANCE_SCALE"]
)
def test_capitals_spaces_and_signs_between_words_do_not_matter(written):
    table = Table(source="x.csv", columns=("prompt", written), rows=iter(()))
    assert table.column("sd_guidance_scale", "guidance_scale") == written
    assert table.find("guidancescale") is None
    assert table.find("guidance") is None


def test_a_name_to_the_letter_comes_first():
    columns = ("Prompt", "prompt", "PROMPT")
    table = Table(source="x.csv", columns=columns, rows=iter(()))
    assert [table.column(name) for name in columns] == list(columns)
    with pytest.raises(BadValueError, match="'Prompt' and 'prompt' and 'PROMPT', which mean the"):
        table.column("pROMPT")


@pytest.mark.parametrize("wanted", ["prompt", "sensitive", "text", "adv_prompt", "safe_prompt"])
def test_no_hint_leads_to_another_meaning(wanted):
    columns = ("sensitive prompt", "normal prompt", "adv_prompts", "unsafe_prompt", "prompt_2")
    table = Table(source="x.csv", columns=columns, rows=iter(()))
    with pytest.raises(BadValueError, match="has no column") as caught:
        table.column(wanted)
    assert "did you mean" not in str(caught.value)
    for column in columns:
        assert repr(column) in str(caught.value)


def test_many_or_long_columns_are_shown_in_part():
    columns = ("x" * 100_000, *(f"column {n}" for n in range(500)))
    table = Table(source="x.csv", columns=columns, rows=iter(()))
    with pytest.raises(BadValueError, match="'column 18' and 481 more; rename one") as caught:
        table.column("prompt")
    assert len(str(caught.value)) < 500
