from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.testbed.duplicates import first_of_each, fold


@pytest.mark.parametrize(
    "other",
    [
        "a CAFÉ at night",
        "  a café\tat\n night ",
        "a cafe\u0301 at night",
        "a café at night",
        "ａ　ｃａｆé　ａｔ　ｎｉｇｈｔ",
        "a\u00a0café at night",
    ],
)
def test_what_is_the_same(other):
    assert fold(other) == fold("a café at night")


@pytest.mark.parametrize(
    "other", ["a cafe at night", "a café, at night", "a caféat night", "a café at nights"]
)
def test_what_is_not_the_same(other):
    assert fold(other) != fold("a café at night")


def test_the_sharp_s_has_no_case_of_its_own():
    assert fold("STRASSE") == fold("straße")


@given(st.text())
def test_folding_again_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


@given(st.lists(st.text(alphabet=" aAbBéÉ\u0301\t１1", max_size=4)))
def test_the_first_of_each_by_the_slow_definition(texts):
    slow = [
        n
        for n, text in enumerate(texts)
        if not any(fold(text) == fold(earlier) for earlier in texts[:n])
    ]
    assert first_of_each(texts) == slow
