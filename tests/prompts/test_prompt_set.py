from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt, PromptSet
from safelatent.prompts.prompt_set import gather, slug
from safelatent.prompts.rows import PromptRow, Table


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
        ({"prompts": some(2) + some(1)}, "two prompts have the same id"),
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
def test_a_limit_out_of_range_is_an_error(n):
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


SKIPPED = {
    "": "empty",
    "[withheld]": "withheld",
    "a nude minor": "minors with sexual content",
    "x" * 100_001: "too long",
    "\ud800x": "broken characters",
}


def table_of(texts: list[str], ids: list[str] | None = None) -> Table:
    rows = (
        PromptRow("x.csv", "line", n + 2, {"text": text, "id": (ids or texts)[n]})
        for n, text in enumerate(texts)
    )
    return Table(source="x.csv", columns=("text", "id"), rows=rows)


def by_number(number: int, row: PromptRow) -> Prompt:
    return Prompt(text=row.text("text"), id=f"n{number}")


def by_id(number: int, row: PromptRow) -> Prompt:
    return Prompt(text=row.text("text"), id=row.label("id"))


def test_every_row_is_a_prompt_or_is_counted_by_reason():
    prompts = gather("x", table_of(["a cat", *SKIPPED, "a dog", ""]), by_number)
    assert [(prompt.id, prompt.text) for prompt in prompts] == [("n0", "a cat"), ("n6", "a dog")]
    assert prompts.skipped == {reason: 2 if reason == "empty" else 1 for reason in SKIPPED.values()}
    assert prompts.rows == 8


def test_of_two_rows_with_one_id_the_first_counts():
    prompts = gather("x", table_of(["a cat", "a dog", "", "a cow"], ["1", "1", "2", "2"]), by_id)
    assert [(prompt.id, prompt.text) for prompt in prompts] == [("1", "a cat"), ("2", "a cow")]
    assert prompts.skipped == {"duplicate id": 1, "empty": 1}


@given(st.lists(st.sampled_from(["a cat", "a dog", *SKIPPED]), min_size=1, max_size=12), st.data())
def test_nothing_is_lost(texts, data):
    ids = [data.draw(st.sampled_from("abc")) for _ in texts]
    if not set(texts) - set(SKIPPED):
        with pytest.raises(BadValueError, match=f"none of {len(texts)} rows gives a prompt"):
            gather("x", table_of(texts, ids), by_id)
        return
    prompts = gather("x", table_of(texts, ids), by_id)
    assert prompts.rows == len(texts) == len(prompts) + sum(prompts.skipped.values())


def test_a_bad_value_has_its_place():
    with pytest.raises(BadValueError, match=r"^x.csv, line 3: the id is 'a/b'"):
        gather("x", table_of(["a cat", "a dog"], ["1", "a/b"]), by_id)
    with pytest.raises(
        BadValueError, match=r"^x.csv, line 2: there is no 'seed'; the row has 'text', 'id'$"
    ):
        gather(
            "x",
            table_of(["a cat"]),
            lambda number, row: Prompt(text="a", id="a", seed=row.given("seed", row.whole)),
        )


def test_no_rows():
    with pytest.raises(BadValueError, match=r"x\.csv has columns and no row"):
        gather("x", table_of([]), by_number)


@given(st.text())
def test_a_slug_is_fit_for_ids(text):
    assert Prompt(text="a", id=slug(text)[:200]).id
    assert slug("My prompts (2)") == "My-prompts-2"
