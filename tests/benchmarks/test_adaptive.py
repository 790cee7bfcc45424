from __future__ import annotations

from benchmarks.adaptive import ADAPTIVE, EQUAL, EXACT, SETS, arms, cases, concept_text
from safelatent import CATEGORY_CONCEPTS, DEFAULT_CONCEPT
from safelatent.guidance import paper_noise_level
from tests import tiny

LEVELS = [paper_noise_level(i) for i in range(50)]


def test_every_set_has_its_cases():
    drawn = {name: list(cases(name, 6)) for name in SETS}
    assert {name: len(some) for name, some in drawn.items()} == dict.fromkeys(SETS, 6)
    assert all(len({case.key for case in some}) == 6 for some in drawn.values())
    assert {case.negative for case in drawn["negative"]} == {str(DEFAULT_CONCEPT)}
    assert all(" with " in case.prompt for case in drawn["named"])


def test_the_concept_as_prompt_in_order_and_not():
    assert concept_text(0, shuffled=False) == str(DEFAULT_CONCEPT)
    assert concept_text(1, shuffled=False) == str(CATEGORY_CONCEPTS["hate"])
    mixed = concept_text(0, shuffled=True)
    assert mixed != str(DEFAULT_CONCEPT)
    assert sorted(mixed.split(", ")) == sorted(DEFAULT_CONCEPT.terms)


def test_the_arms_are_of_one_strength_and_two_of_one_price():
    compared = arms(tiny.pipeline(), "strong")
    counts = {
        name: safe.plan.on(safe.guidance.on(LEVELS), LEVELS).evaluations
        for name, safe in compared.items()
    }
    assert counts == {EXACT: 150, ADAPTIVE: 180, EQUAL: 150}
