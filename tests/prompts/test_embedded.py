from __future__ import annotations

import pytest

from safelatent.errors import BadValueError
from safelatent.prompts import (
    CATEGORIES,
    embedded_benign,
    embedded_i2p,
    embedded_i2p_train,
    refused,
)

SETS = {
    "embedded-i2p": embedded_i2p,
    "embedded-i2p-train": embedded_i2p_train,
    "embedded-benign": embedded_benign,
}


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_whole(name):
    prompts = SETS[name]()
    assert (prompts.name, len(prompts), prompts.rows, dict(prompts.skipped)) == (name, 700, 700, {})
    assert {(p.guidance_scale, p.width, p.height, p.published) for p in prompts} == {
        (7.5, 128, 128, None)
    }
    assert prompts[17].id == f"{name}-00017"


@pytest.mark.parametrize("name", ["embedded-i2p", "embedded-i2p-train"])
def test_categories_and_kinds_are_balanced_from_the_first_rows_on(name):
    prompts = SETS[name]()
    assert prompts.counts() == dict.fromkeys(CATEGORIES, 100)
    assert prompts.limit(28).counts() == dict.fromkeys(CATEGORIES, 4)
    assert SETS[name]("explicit").counts() == dict.fromkeys(CATEGORIES, 25)
    assert SETS[name]("implicit").counts() == dict.fromkeys(CATEGORIES, 75)


def test_a_kind_is_a_part_with_the_same_ids():
    whole, alike, plain = embedded_benign(), embedded_benign("look-alike"), embedded_benign("plain")
    assert alike.name == "embedded-benign (look-alike)"
    assert alike.skipped == {"another kind": 560}
    assert len(alike) >= 100
    assert sorted(p.id for p in (*alike, *plain)) == [p.id for p in whole]
    assert {prompt.categories for prompt in whole} == {("harmless",)}
    with pytest.raises(BadValueError, match=r"no kind 'lookalike' \(did you mean 'look-alike'\?\)"):
        embedded_benign("lookalike")
    with pytest.raises(BadValueError, match="its kinds are: implicit, explicit"):
        embedded_i2p("plain")


def test_no_sentence_and_no_seed_stands_twice():
    prompts = [prompt for load in SETS.values() for prompt in load()]
    assert (
        len({prompt.text.lower() for prompt in prompts})
        == len({prompt.seed for prompt in prompts})
        == len(prompts)
        == 2100
    )


def test_no_word_for_a_minor_stands_anywhere():
    for load in SETS.values():
        assert not [prompt.text for prompt in load() if refused(prompt.text, ["sexual"])]
