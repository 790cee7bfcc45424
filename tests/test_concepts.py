from __future__ import annotations

import pytest

from safelatent.concepts import CATEGORY_CONCEPTS, DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError

PAPER = (
    "hate, harassment, violence, suffering, humiliation, harm, suicide, sexual, nudity, "
    "bodily fluids, blood, obscene gestures, illegal activity, drug use, theft, vandalism, "
    "weapons, child abuse, brutality, cruelty"
)
INVISIBLE = {
    "zero-width space": "\u200b",
    "soft hyphens": "\u00ad\u00ad",
    "variation selectors": "\ufe0f\ufe0e\U000e0100",
    "bidi marks": "\u200e\u202e\u2066",
    "combining marks": "\u0301\u20dd\u0903",
    "joiners": "\u200d\u200c",
    "byte order mark": "\ufeff",
    "Hangul fillers": "\u115f\u3164\uffa0",
    "Braille blank": "\u2800",
    "tags": "\U000e0041\U000e007f",
    "controls": "\x00\x1b",
    "wide spaces": "\u3000\u00a0\u2028",
    "unassigned": "\U000e0fff",
    "a surrogate": "\ud800",
}


def test_the_default_is_the_papers():
    assert str(DEFAULT_CONCEPT) == PAPER
    assert len(DEFAULT_CONCEPT.terms) == 20


def test_there_is_one_for_each_category_of_i2p():
    assert set(CATEGORY_CONCEPTS) == {
        "hate",
        "harassment",
        "violence",
        "self-harm",
        "sexual",
        "shocking",
        "illegal activity",
    }


def test_terms_are_added_and_taken():
    concept = DEFAULT_CONCEPT.with_terms("cigarettes", "blood").without_terms("hate", "theft")
    assert len(concept.terms) == 19
    assert str(concept).endswith("cruelty, cigarettes")
    assert "hate" not in concept.terms
    assert str(DEFAULT_CONCEPT) == PAPER, "the concept itself does not change"


def test_taking_an_unknown_term_is_an_error():
    with pytest.raises(BadValueError, match=r"no term 'voilence'.*did you mean 'violence'"):
        DEFAULT_CONCEPT.without_terms("voilence")


def test_taking_everything_is_an_error():
    with pytest.raises(BadValueError, match="empty"):
        Concept.parse("a, b").without_terms("a", "b")


@pytest.mark.parametrize("text", ["", "  ", ",", " , ,", "\n"])
def test_blank_text_is_no_concept(text):
    with pytest.raises(BadValueError, match="empty"):
        Concept.parse(text)


@pytest.mark.parametrize("value", [None, 3, ["a"], b"a"])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(BadValueError, match="must be text"):
        Concept.parse(value)


@pytest.mark.parametrize("text", INVISIBLE.values(), ids=INVISIBLE)
def test_what_cannot_be_seen_is_no_concept(text):
    for whole in (text, f" {text} , ", f"{text},{text}"):
        with pytest.raises(BadValueError, match=r"^the concept is empty; [^\n]*$"):
            Concept.parse(whole)
    with pytest.raises(BadValueError, match="a character that can be seen"):
        Concept(terms=("blood", text))
    assert Concept.parse(f"blood, {text}").terms == ("blood",)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("wea\u00adpons\u200b", "weapons"),
        ("\ufeff weapons \x00", "weapons"),
        ("bodily\u00a0 \n fluids", "bodily fluids"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u2620\ufe0f", "\u2620\ufe0f"),
        ("\U0001f468\u200d\U0001f680", "\U0001f468\u200d\U0001f680"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\u200c",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("\u3010\u6b66\u5668\u3011", "\u3010\u6b66\u5668\u3011"),
    ],
)
def test_terms_are_kept_as_they_are_seen(given, kept):
    assert Concept.parse(given).terms == (kept,)
    assert Concept.parse(str(Concept.parse(given))) == Concept.parse(given)


def test_half_of_a_character_is_refused():
    with pytest.raises(BadValueError, match="lone surrogate"):
        Concept.parse("weapons\ud800")


@pytest.mark.parametrize("terms", [("a", ""), ("a", " "), ("a", None), (3,)])
def test_blank_terms_are_refused(terms):
    with pytest.raises(BadValueError, match="a character that can be seen"):
        Concept(terms=terms)


@pytest.mark.parametrize(
    "twin",
    ["blood", "Blood", "BLOOD ", "bl\u200bood", "\uff42\uff4c\uff4f\uff4f\uff44", "blood\ufe0f"],
)
def test_a_term_given_twice_is_refused(twin):
    with pytest.raises(BadValueError, match=r"'blood'.* more than once"):
        Concept.parse(f"blood, gore, {twin}")
    assert Concept.parse("blood, gore").with_terms(twin, "gas", twin).terms == (
        "blood",
        "gore",
        "gas",
    )
    assert Concept.parse("blood, gore").without_terms(twin).terms == ("gore",)


def test_composed_and_decomposed_are_one_term():
    with pytest.raises(BadValueError, match="more than once"):
        Concept.parse("caf\u00e9, cafe\u0301")
    assert len(Concept.parse("stra\u00dfe, strasse-2").terms) == 2
