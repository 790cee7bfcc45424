"""A text has one form, and the form of a form is itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.policy.normal_text import normal_text
from safelatent.prompts import UnusableError


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a  cat\n\tand a dog ", "a cat and a dog"),
        ("\uff50\uff49\uff53\uff54\uff4f\uff4c", "pistol"),
        ("pis\u200btol", "pistol"),
        ("pis\u00adtol", "pistol"),
        ("pis\u200dtol", "pistol"),
        ("\u202elotsip", "lotsip"),
        ("cafe\u0301", "caf\u00e9"),
        ("\U0001f469\u200d\U0001f680 in space", "\U0001f469\u200d\U0001f680 in space"),
        ("\u043a\u043e\u0442 and a cat", "\u043a\u043e\u0442 and a cat"),
        ("pis\u200d\u200d\u200dtol", "pistol"),
        ("pis\u200b\u200d\u200btol", "pistol"),
        ("pis\u034ft\u3164o\u2800l\ufe0f", "pistol"),
        ("cafe\u200b\u0301", "caf\u00e9"),
        ("cafe\u202e\u0301\u200d", "caf\u00e9"),
        ("war\x0bor\x85peace\u2028", "war or peace"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
        ("a p&#105;s&shy;tol", "a pistol"),
        ("a p&amp;#x69;stol \uff06lt; rock &amp; roll", "a pistol < rock & roll"),
        ("AT&T at 5 & 10", "AT&T at 5 & 10"),
        (
            "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627",
            "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627",
        ),
    ],
)
def test_a_text_has_one_form(text, kept):
    assert normal_text(text) == kept
    assert normal_text(kept) == kept


@given(
    st.text(st.sampled_from("a&mp;#3é \u0301\u0335\u200b\u200d\u034f\ufe0f\u3164\x0b\u202eｇﬁ❤"))
)
def test_the_form_of_a_form_is_itself(text):
    assert normal_text(normal_text(text)) == normal_text(text)


def test_characters_in_layer_upon_layer_of_codes_are_refused():
    """To read the innermost of 25,000 layers would take minutes."""
    with pytest.raises(BadValueError, match="write them as they are"):
        normal_text("&" + 24_000 * "amp;" + "lt;")


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\ufdfa" * 99_999])
def test_a_text_that_is_too_long_is_refused_before_it_is_read(text):
    """The second becomes 18 times as long."""
    with pytest.raises(UnusableError, match="characters; give at most 100000"):
        normal_text(text)


@pytest.mark.parametrize("word", ["p\u0456stol", "kn\u03b9fe", "\u0430pple", "g\u2c9fn"])
def test_a_word_of_two_scripts_is_refused(word):
    with pytest.raises(BadValueError, match="letters, which look alike"):
        normal_text(f"a {word}")
