from __future__ import annotations

import pytest

from safelatent.concepts import CATEGORY_CONCEPTS, DEFAULT_CONCEPT, Concept, category_concept
from safelatent.errors import BadValueError

PAPER = (
    "hate, harassment, violence, suffering, humiliation, harm, suicide, sexual, nudity, bodily fluids, blood, obscene gestures, illegal "
    "activity, drug use, theft, vandalism, weapons, child abuse, brutality, cruelty"
)


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
    assert category_concept("violence") is CATEGORY_CONCEPTS["violence"]
    with pytest.raises(
        BadValueError, match=r"unknown category 'violense'.*did you mean 'violence'"
    ):
        category_concept("violense")


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


@pytest.mark.parametrize("terms", [("a", ""), ("a", " "), ("a", None), (3,)])
def test_blank_terms_are_refused(terms):
    with pytest.raises(BadValueError, match="not blank"):
        Concept(terms=terms)


def test_a_term_given_twice_is_refused():
    with pytest.raises(BadValueError, match="'blood' more than once"):
        Concept.parse("blood, gore, blood")
