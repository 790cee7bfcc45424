"""The categories that adaptive guidance chooses among."""

from __future__ import annotations

import pytest

from safelatent.concepts import CATEGORY_CONCEPTS, Concept
from safelatent.errors import BadValueError
from safelatent.guidance import MAX, STRONG, Category, NoiseLevel, categories


def test_there_is_one_for_every_concept_and_its_warm_up_is_a_noise_level():
    assert [one.name for one in categories()] == list(CATEGORY_CONCEPTS)
    own = categories(MAX, {"fruit": Concept.parse("bananas, apples")})
    assert [(one.name, str(one.concept)) for one in own] == [("fruit", "bananas, apples")]
    for one, strength in ((categories()[0], STRONG), (own[0], MAX)):
        assert one.strength == strength.by_noise_level()
        assert isinstance(one.strength.warmup, NoiseLevel)


def test_a_concept_may_be_given_in_words():
    assert Category(name="x", concept="knives, blood").concept == Concept.parse("knives, blood")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": " "}, "a category has the name ' '; give it one in words"),
        ({"name": 3}, "a category has the name 3"),
        ({"concept": ""}, "concept"),
        ({"strength": "strong"}, "the category 'x' has the strength 'strong'; it must be an SLD"),
    ],
    ids=str,
)
def test_categories_that_are_refused(settings, message):
    with pytest.raises(BadValueError, match=message):
        Category(**({"name": "x", "concept": Concept.parse("x")} | settings))
