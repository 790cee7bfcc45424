"""One line of text: whatever a stranger names a file, or a library says, stays on one line."""

import re
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.text import (
    counted,
    csv_cell,
    finite,
    html_table,
    is_deeper,
    names_of,
    one_line,
    printable,
    shortened,
    squeezed,
    visible,
    visible_line,
)


def test_our_errors_stand_alone_and_others_with_their_type():
    assert one_line(BadValueError("steps is 0; it must be at least 1")).startswith("steps is 0")
    assert one_line(KeyError("a")) == "KeyError: 'a'"


@given(st.text())
def test_every_error_is_one_line(text):
    assert len(one_line(RuntimeError(text)).splitlines()) == 1
    assert "  " not in squeezed(text)


@pytest.mark.parametrize("name", ["a.png\nsafe  b.png", "\x1b[31m", "a\u202eb"])
def test_a_name_with_control_characters_is_quoted(name):
    assert printable(name) == repr(name)
    assert printable("plain name.png") == "plain name.png"


def test_a_table_for_a_notebook_is_escaped():
    html = html_table({"a<b": '"x" & <script>', "n": 5})
    assert html == (
        "<table><tr><th>a&lt;b</th><td>&quot;x&quot; &amp; &lt;script&gt;</td></tr>"
        "<tr><th>n</th><td>5</td></tr></table>"
    )


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("a\u202eb", "a\\u202eb"),
        ("\u2066a\u2069", "\\u2066a\\u2069"),
        ("\x1b[31m\x07", "\\x1b[31m\\x07"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud83d", "\\ud83d"),
        ("a\x1cb\x85c\u2028d", "a\\x1cb\\x85c\\u2028d"),
    ],
)
def test_characters_that_hide_or_reorder_text_are_shown(hidden, shown):
    assert visible(hidden) == shown


@pytest.mark.parametrize(
    "text",
    ["two\nlines\tand a tab", "a\u00a0b\u3000c", "\U0001f468\u200d\u2695\ufe0f", "می\u200cشود"],
)
def test_spaces_emoji_and_scripts_stay(text):
    assert visible(text) == text


@given(st.text())
def test_what_is_shown_is_printable_apart_from_spaces_and_joiners(text):
    left = {c for c in visible(text) if not c.isprintable() and category(c) != "Zs"}
    assert left <= set("\n\t\r\u200c\u200d")


@pytest.mark.parametrize(
    "formula",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\uff1d1", "\tplain"],
)
def test_a_formula_in_a_cell_is_text(formula):
    assert csv_cell(formula) == f"'{formula}"


@pytest.mark.parametrize("value", ["", " ", "self-harm", "a=b", "'=1", -1, -0.5, None, 3])
def test_other_cells_stay(value):
    assert csv_cell(value) == value


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 images"), (1, "1 image"), (2, "2 images"), (12000, "12,000 images")],
)
def test_one_has_no_plural(number, said):
    assert counted(number, "image") == said


def test_a_long_text_is_cut():
    assert shortened("short", 18) == "short"
    assert shortened("very long name of a category", 18) == "very long name of…"
    assert len(shortened("x" * 19, 18)) == 18


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["max", " OFF "], ("off", "max")),
        (["", "max"], ("max",)),
        (["none"], ("off",)),
    ],
)
def test_names_come_in_the_order_of_their_list(given, found):
    assert names_of(given, ("off", "weak", "max"), "method", {"none": "off"}) == found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["maxx"], "unknown method 'maxx' (did you mean 'max'?); it must be one of off, max"),
        (["off", "off"], "the methods are 'off,off'; name at least one of off, max, each once"),
        ([" "], "the methods are ' '; name at least one"),
    ],
)
def test_names_that_are_not_of_the_list(given, said):
    with pytest.raises(BadValueError, match=re.escape(said)):
        names_of(given, ("off", "max"), "method")


def test_how_deep_plain_values_are_nested():
    deep: list = []
    for _ in range(100_000):
        deep = [{"a": deep}]
    assert is_deeper(deep, 16)
    assert not is_deeper({"a": [1, {"b": "text"}]}, 3)
    assert is_deeper({"a": [1, {"b": "text"}]}, 2)
    assert not is_deeper("text", 0)


def test_what_is_not_finite_is_null():
    value = {"a": [float("nan"), 1.5, (float("inf"),)], "b": "nan", "c": 3}
    assert finite(value) == {"a": [None, 1.5, [None]], "b": "nan", "c": 3}


def test_a_strangers_text_is_one_visible_line():
    assert visible_line("a\nguidance:  max\x1b[2J") == "a guidance: max\\x1b[2J"
