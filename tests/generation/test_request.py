from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.concepts import Concept
from safelatent.errors import BadValueError
from safelatent.generation.request import Request, check_amount
from safelatent.prompts import check_text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": ""}, "the prompt is ''"),
        ({"prompt": " \n"}, "give at least one word"),
        ({"prompt": "a\0b"}, "NUL"),
        ({"prompt": "a\ud800"}, "lone|half of a character"),
        ({"prompt": "x" * 1_000_000}, "1000000 characters"),
        ({"prompt": "[withheld]"}, "publisher removed the text"),
        (
            {"prompt": "a nude minor"},
            "'a nude minor' combines words for minors with sexual content",
        ),
        ({"negative_prompt": " "}, "the negative prompt is"),
        ({"safety": "stong"}, "did you mean 'strong'"),
        ({"safety": ""}, "unknown safety"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "seed is"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": -3}, "steps is -3"),
        ({"steps": 10**9}, "steps is"),
        ({"guidance_scale": 1.0}, "guidance scale is 1"),
        ({"guidance_scale": math.nan}, "guidance scale is nan"),
        ({"guidance_scale": math.inf}, "guidance scale is inf"),
        ({"safety": "negative prompt", "negative_prompt": "a"}, "baseline"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_what_makes_no_sense_is_refused(change, message):
    with pytest.raises(BadValueError, match=message) as caught:
        Request(**({"prompt": "a cat"} | change))
    assert "\n" not in str(caught.value)


@given(st.text(max_size=60))
def test_a_prompt_is_taken_or_refused_and_its_name_is_a_file_name(text):
    try:
        request = Request(prompt=text)
    except BadValueError:
        with pytest.raises(BadValueError):
            check_text(text)
        return
    assert "/" not in request.name
    assert "\0" not in request.name
    assert len(request.name.encode()) < 250
    assert not request.name.startswith(("-", "."))


def test_the_name_differs_with_whatever_determines_the_image():
    base = {"prompt": "a cat"}
    changes = [
        {},
        {"prompt": "a cat!"},
        {"model": "other/model"},
        {"safety": "max"},
        {"concept": Concept.parse("blood")},
        {"negative_prompt": "x"},
        {"seed": 1},
        {"steps": 49},
        {"guidance_scale": 7.0},
        {"settings": (("scale", 500.0),)},
        {"revision": "0" * 40},
        {"variant": "fp16"},
        {"dtype": "float16"},
    ]
    names = [Request(**(base | change)).name for change in changes]
    assert len(set(names)) == len(changes)
    assert Request(**base).name == names[0]


@pytest.mark.parametrize(
    ("prompts", "images", "message"),
    [
        (1, 0, "images is 0"),
        (1, 30_000_000, r"prompts times images is 1 x 30000000 = 30000000, and one.*bench run"),
        (101, 100, "101 x 100 = 10100, and one command draws at most 10000 images"),
    ],
)
def test_more_images_than_one_command_should_draw_are_refused(prompts, images, message):
    with pytest.raises(BadValueError, match=message):
        check_amount(prompts, images)
    check_amount(100, 100)


def test_the_hash_covers_all_that_determines_the_image():
    first = Request(prompt="a cat")
    assert len(first.hash) == 64
    assert first.name.endswith(first.hash[:8])
    assert first.hash == Request(prompt="a cat").hash
    for change in (
        {"seed": 1},
        {"steps": 9},
        {"revision": "a" * 40},
        {"settings": (("scale", 9),)},
    ):
        assert Request(prompt="a cat", **change).hash != first.hash
    assert Request(prompt="a cat", concept=Concept.parse("blood")).hash != first.hash


def test_the_facts_name_the_models_files_where_they_were_named():
    facts = Request(prompt="a cat", seed=3, variant="fp16").facts
    assert (facts["prompt"], facts["seed"], facts["variant"]) == ("a cat", 3, "fp16")
    assert not {"revision", "dtype"} & facts.keys()
