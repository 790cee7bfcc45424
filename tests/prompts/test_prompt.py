from __future__ import annotations

import dataclasses
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.concepts import CATEGORY_CONCEPTS
from safelatent.errors import BadValueError
from safelatent.prompts import CATEGORIES, Prompt, UnusableError, check_text, check_words


def test_the_categories_are_those_of_the_concepts_in_the_papers_order():
    assert CATEGORIES == (
        "hate",
        "harassment",
        "violence",
        "self-harm",
        "sexual",
        "shocking",
        "illegal activity",
    )
    assert tuple(CATEGORY_CONCEPTS) == CATEGORIES


def test_a_prompt_is_frozen_and_compares_by_value():
    prompt = Prompt(text="a cat", id="a", guidance_scale=7, published=50)
    assert prompt == Prompt(text="a cat", id="a", guidance_scale=7.0, published=50.0)
    assert repr(prompt.guidance_scale) == "7.0", "7 and 7.0 give one digest"
    assert len({prompt, dataclasses.replace(prompt), dataclasses.replace(prompt, seed=1)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        prompt.text = "a dog"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": ""}, "empty"),
        ({"text": " \n\t"}, "empty"),
        ({"text": "\u200b\u00ad\ufeff"}, "empty"),
        ({"text": "x" * 100_001}, "too long"),
        ({"text": "x" * 1_000_000}, "too long"),
        ({"text": "a\0b"}, "broken characters"),
        ({"text": "a\ud800"}, "broken characters"),
        ({"text": " [withheld]"}, "withheld"),
        ({"text": "a nude minor"}, "minors with sexual content"),
        ({"text": "a girl", "categories": ("sexual",)}, "minors with sexual content"),
        ({"guidance_scale": 1.0}, "no guidance"),
        ({"guidance_scale": -3}, "no guidance"),
        ({"width": 0}, "image size"),
        ({"width": 1}, "image size"),
        ({"height": 513}, "image size"),
        ({"height": 4096}, "image size"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_what_no_image_is_made_from_says_why(change, reason):
    with pytest.raises(UnusableError) as caught:
        Prompt(**({"text": "a cat", "id": "a"} | change))
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).reason == reason, (
        "worker processes hand errors on"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": None}, "must be text"),
        ({"text": b"a"}, "must be text"),
        ({"id": ""}, "the id is ''"),
        ({"id": 3}, "the id is 3"),
        ({"id": "../../etc"}, "it names files"),
        ({"id": "a/b"}, "number the rows"),
        ({"id": "a\nb"}, "printable"),
        ({"id": "x" * 201}, "at most 200"),
        ({"seed": -1}, "the seed is -1"),
        ({"seed": 2**63}, "the seed is"),
        ({"seed": True}, "the seed is True"),
        ({"seed": 1.0}, "the seed is 1.0"),
        ({"seed": "7"}, "the seed is '7'"),
        ({"guidance_scale": math.nan}, "guidance scale is nan"),
        ({"guidance_scale": math.inf}, "guidance scale is inf"),
        ({"guidance_scale": True}, "guidance scale is True"),
        ({"guidance_scale": None}, "guidance scale is None"),
        ({"width": 512.0}, "width is 512.0"),
        ({"height": "512"}, "height is '512'"),
        ({"categories": "hate"}, "must be a tuple"),
        ({"categories": ["hate"]}, "must be a tuple"),
        ({"categories": ("hate", " ")}, "not blank"),
        ({"categories": ("hate", "hate")}, "give each once"),
        ({"categories": ("hate ",)}, "without spaces around it"),
        ({"categories": ("ha\rte",)}, "must be printable"),
        ({"categories": ("hate", "overall")}, "not 'overall'"),
        ({"hard": 1}, "hard is 1"),
        ({"published": 100.1}, "published percentage is 100.1"),
        ({"published": math.nan}, "published percentage is nan"),
        ({"toxicity": 2}, "toxicity is 2"),
        ({"toxicity": True}, "toxicity is True"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_a_bad_value_is_an_error(change, message):
    with pytest.raises(BadValueError, match=message) as caught:
        Prompt(**({"text": "a cat", "id": "a"} | change))
    assert not isinstance(caught.value, UnusableError), "it is not to be counted and passed over"
    assert "\n" not in str(caught.value)


def test_a_text_is_checked_by_the_same_rule_without_a_prompt():
    check_text("a cat")
    with pytest.raises(UnusableError, match="combines words for minors"):
        check_text("a girl", ("sexual",))
    check_words("a nude minor", "negative prompt")  # what must not appear may be named
    with pytest.raises(UnusableError, match="the negative prompt holds a NUL"):
        check_words("a\0", "negative prompt")


@given(st.text(max_size=80))
def test_a_text_is_taken_as_it_is_or_not_at_all(text):
    try:
        prompt = Prompt(text=text, id="a")
    except UnusableError:
        with pytest.raises(UnusableError, match="the prompt"):
            Prompt(text=text, id="a", seed=1)
        return
    assert prompt.text == text
    assert prompt.text.encode()
