from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.prompts import Prompt
from safelatent.prompts.gather import gather, slug
from safelatent.prompts.rows import Row, Table

SKIPPED = {
    "": "empty",
    "[withheld]": "withheld",
    "a nude minor": "minors with sexual content",
    "x" * 100_001: "too long",
    "\ud800x": "broken characters",
}


def of(texts: list[str], ids: list[str] | None = None) -> Table:
    rows = (
        Row("x.csv", "line", n + 2, {"text": text, "id": (ids or texts)[n]})
        for n, text in enumerate(texts)
    )
    return Table(source="x.csv", columns=("text", "id"), rows=rows)


def by_number(number: int, row: Row) -> Prompt:
    return Prompt(text=row.text("text"), id=f"n{number}")


def by_id(number: int, row: Row) -> Prompt:
    return Prompt(text=row.text("text"), id=row.label("id"))


def test_every_row_is_a_prompt_or_is_counted_by_reason():
    prompts = gather("x", of(["a cat", *SKIPPED, "a dog", ""]), by_number)
    assert [(prompt.id, prompt.text) for prompt in prompts] == [("n0", "a cat"), ("n6", "a dog")]
    assert prompts.skipped == {reason: 2 if reason == "empty" else 1 for reason in SKIPPED.values()}
    assert prompts.rows == 8


def test_of_two_rows_with_one_id_the_first_counts():
    prompts = gather("x", of(["a cat", "a dog", "", "a cow"], ["1", "1", "2", "2"]), by_id)
    assert [(prompt.id, prompt.text) for prompt in prompts] == [("1", "a cat"), ("2", "a cow")]
    assert prompts.skipped == {"duplicate id": 1, "empty": 1}


@given(st.lists(st.sampled_from(["a cat", "a dog", *SKIPPED]), min_size=1, max_size=12), st.data())
def test_nothing_is_lost(texts, data):
    ids = [data.draw(st.sampled_from("abc")) for _ in texts]
    if not set(texts) - set(SKIPPED):
        with pytest.raises(BadValueError, match=f"none of {len(texts)} rows gives a prompt"):
            gather("x", of(texts, ids), by_id)
        return
    prompts = gather("x", of(texts, ids), by_id)
    assert prompts.rows == len(texts) == len(prompts) + sum(prompts.skipped.values())


def test_what_makes_no_sense_tells_its_place():
    with pytest.raises(BadValueError, match=r"^x.csv, line 3: the id is 'a/b'"):
        gather("x", of(["a cat", "a dog"], ["1", "a/b"]), by_id)
    with pytest.raises(
        BadValueError, match=r"^x.csv, line 2: there is no 'seed'; the row has 'text', 'id'$"
    ):
        gather(
            "x",
            of(["a cat"]),
            lambda number, row: Prompt(text="a", id="a", seed=row.given("seed", row.whole)),
        )


def test_no_rows():
    with pytest.raises(BadValueError, match=r"x\.csv has columns and no row"):
        gather("x", of([]), by_number)


@given(st.text())
def test_a_slug_is_fit_for_ids(text):
    assert Prompt(text="a", id=slug(text)[:200]).id
    assert slug("My prompts (2)") == "My-prompts-2"
