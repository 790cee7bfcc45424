from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt, PromptSet


def some(n: int) -> tuple[Prompt, ...]:
    labels = (("hate",), ("sexual", "hate"), ())
    return tuple(
        Prompt(text=f"a cat, number {k}", id=f"p{k}", seed=k, categories=labels[k % 3])
        for k in range(n)
    )


def whole(n: int = 7, **skipped: int) -> PromptSet:
    return PromptSet(name="cats", prompts=some(n), rows=n + sum(skipped.values()), skipped=skipped)


def test_it_is_a_sequence():
    prompts = whole(7, empty=2)
    assert len(prompts) == 7
    assert prompts[0].id == "p0"
    assert prompts[-1] is prompts.prompts[-1]
    assert prompts[2:4] == prompts.prompts[2:4]
    assert [p.id for p in prompts] == [f"p{k}" for k in range(7)]
    assert prompts[3] in prompts
    assert prompts.index(prompts[3]) == 3


def test_it_does_not_change():
    skipped = {"empty": 2}
    prompts = PromptSet(name="cats", prompts=some(1), rows=3, skipped=skipped)
    skipped["empty"] = 9
    assert prompts.skipped == {"empty": 2}
    with pytest.raises(TypeError):
        prompts.skipped["empty"] = 9
    with pytest.raises(dataclasses.FrozenInstanceError):
        prompts.rows = 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": (), "rows": 2}, r"none of 2 rows gives a prompt \(2 empty\)"),
        ({"rows": 6}, "do not make 6 rows"),
        ({"skipped": {"empty": 0}, "rows": 3}, "do not make 3 rows"),
        ({"prompts": some(2) + some(1)}, "an id stands for two prompts"),
    ],
)
def test_rows_that_are_not_accounted_for_are_an_error(change, message):
    with pytest.raises(BadValueError, match=message):
        PromptSet(
            **({"name": "cats", "prompts": some(3), "rows": 5, "skipped": {"empty": 2}} | change)
        )


def test_counts_by_category():
    assert list(whole(6).counts().items()) == [("hate", 4), ("sexual", 2)]
    other = Prompt(text="a car", id="c", categories=("Colors", "hate"))
    assert list(PromptSet(name="x", prompts=(other,), rows=1, skipped={}).counts()) == [
        "hate",
        "Colors",
    ]


def test_the_digest_is_over_every_field_of_every_prompt():
    prompts = whole(2)
    lines = [
        [p.text, p.id, p.seed, 7.5, None, None, list(p.categories), None, None, None]
        for p in prompts
    ]
    assert (
        prompts.digest
        == hashlib.sha256("".join(json.dumps(line) + "\n" for line in lines).encode()).hexdigest()
    )
    changes = [
        {"text": "a dog"},
        {"id": "q"},
        {"seed": 9},
        {"guidance_scale": 5.0},
        {"width": 64},
        {"height": 64},
        {"categories": ()},
        {"hard": True},
        {"published": 10.0},
        {"toxicity": 0.1},
    ]
    assert {name for change in changes for name in change} == {
        field.name for field in dataclasses.fields(Prompt)
    }
    first, second = prompts
    changed = [
        PromptSet(
            name="cats", prompts=(dataclasses.replace(first, **c), second), rows=2, skipped={}
        ).digest
        for c in changes
    ]
    swapped = PromptSet(name="cats", prompts=(second, first), rows=2, skipped={}).digest
    assert len({prompts.digest, swapped, *changed}) == 2 + len(changes)
    assert (
        PromptSet(name="other", prompts=prompts.prompts, rows=3, skipped={"empty": 1}).digest
        == prompts.digest
    )


@given(st.integers(1, 12), st.integers(1, 14), st.integers(0, 3))
def test_a_limit_keeps_the_account(n, limit, empty):
    prompts = whole(n, **({"empty": empty} if empty else {}))
    part = prompts.limit(limit)
    assert part.prompts == prompts.prompts[:limit]
    assert part.rows == prompts.rows == len(part) + sum(part.skipped.values())
    assert (part is prompts) == (limit >= n)
    if part is not prompts:
        assert part.name == f"cats (first {limit})"
        assert part.skipped["beyond the limit"] == n - limit
        assert part.digest != prompts.digest


def test_a_limit_of_a_limit():
    part = whole(9).limit(6).limit(2)
    assert part.name == "cats (first 6) (first 2)"
    assert part.skipped == {"beyond the limit": 7}


@pytest.mark.parametrize("n", [0, -1, True, 2.0, "3", None])
def test_a_limit_that_makes_no_sense_is_an_error(n):
    with pytest.raises(BadValueError, match="the limit is"):
        whole().limit(n)


def test_a_part_is_named_and_counted():
    part = whole(6, empty=1).only(lambda prompt: bool(prompt.categories), "labelled", "no label")
    assert (part.name, len(part), part.skipped) == (
        "cats (labelled)",
        4,
        {"empty": 1, "no label": 2},
    )
    with pytest.raises(BadValueError, match="none of 6 rows"):
        whole(6).only(lambda prompt: False, "none", "not wanted")
