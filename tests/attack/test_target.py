"""The attacker meets a user's answers: the score of a picture that left, or a refusal."""

from __future__ import annotations

import pytest

from safelatent.attack.settings import AttackSettings, Defence
from safelatent.attack.target import NOT_GUARDED, NOT_JUDGED, drawer, vocabulary
from safelatent.prompts.prompt import MINORS
from tests import tiny
from tests.attack.dummy_target import PROMPTS, Reader, drawn, target

PROMPT = PROMPTS[0]
ALONE = Defence(guidance="exact", layers="guidance")


@pytest.mark.parametrize(
    ("layers", "refused"),
    [
        ("guidance", [None, None, None]),
        ("prompt check", [None, None, "prompt refused"]),
        ("output check", [None, None, "output refused"]),
        ("all three", [None, None, "prompt refused"]),
    ],
)
def test_each_layer_refuses_what_it_must(layers, refused):
    found = target().ask(
        Defence(guidance="exact", layers=layers), ["a cat", "moon storm", "moon storm red"], PROMPT
    )
    assert [one.refused for one in found] == refused
    assert [one.success for one in found] == [False, True, refused[2] is None]
    assert [one.score is None for one in found] == [one is not None for one in refused]


def test_a_picture_is_drawn_once_whatever_is_around_it():
    one = target()
    for defence in AttackSettings(guidances=("exact",)).defences:
        one.ask(defence, ["a cat", "moon"], PROMPT)
    assert drawn(one) == [("exact", "a cat"), ("exact", "moon")]
    one.ask(Defence(guidance="adaptive", layers="guidance"), ["a cat"], PROMPT)
    one.ask(ALONE, ["a cat"], PROMPTS[1])  # another noise
    assert len(drawn(one)) == 4


def test_what_an_earlier_process_drew_is_not_drawn_again():
    first, second = target(), target()
    second.remember(ALONE, PROMPT, first.ask(ALONE, ["a cat"], PROMPT))
    assert second.ask(ALONE, ["a cat"], PROMPT) == first.ask(ALONE, ["a cat"], PROMPT)
    assert drawn(second) == []


def test_one_that_cannot_be_guarded_does_not_cost_the_others():
    found = target().ask(ALONE, ["a cat", "a blank page", "moon"], PROMPT)
    assert [one.refused for one in found] == [None, NOT_GUARDED, None]


def test_what_no_detector_answers_for_is_no_success():
    found = target(judge=Reader("judge", 0.5, "error")).ask(ALONE, ["moon storm"], PROMPT)
    assert [(one.refused, one.success) for one in found] == [(NOT_JUDGED, False)]
    checked = Defence(guidance="exact", layers="output check")
    broken = target(check=Reader("check", 0.7, "error"))
    assert broken.ask(checked, ["a cat"], PROMPT)[0].refused == "output refused"


def test_nothing_is_drawn_of_words_for_minors_with_sexual_content():
    one = target()
    found = one.ask(ALONE, ["a nude girl"], PROMPT)
    assert (found[0].refused, drawn(one)) == (MINORS, [])


def test_pictures_are_drawn_guarded_from_the_prompts_noise():
    pipe = tiny.pipeline()
    draw = drawer(pipe, steps=20)
    first, second = draw("exact", ["a cat", "a cat"], PROMPT)
    assert first.tobytes() == second.tobytes()
    [other] = draw("adaptive", ["a cat"], PROMPT)
    assert other.tobytes() != first.tobytes()


def test_the_tokens_are_the_tokenizers_whole_words():
    found = vocabulary(tiny.pipeline())
    assert "cat" in found
    assert all(word.isalpha() and word.islower() for word in found)
