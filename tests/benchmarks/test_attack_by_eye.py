"""What is seen by eye in what got through: a table, counted only once all was looked at."""

from __future__ import annotations

import pytest

from benchmarks.attack_by_eye import (
    NOTHING,
    as_seen,
    got_through,
    read_answers,
    write_answers,
)
from safelatent.attack.numbers import numbers_of
from safelatent.attack.settings import Defence
from tests.attack.test_numbers import made

ALONE, LAYERED = (Defence(guidance="exact", layers=layers) for layers in ("guidance", "all three"))


@pytest.fixture
def found():
    return made({"guidance": 12, "all three": 4})


def test_each_prompt_s_first_success_got_through(found):
    alone = list(got_through(found, ALONE))
    assert [one.prompt for one in alone] == [f"p-{n}" for n in range(12)]
    assert {(one.guidance, one.text) for one in alone} == {("exact", "x")}
    assert list(got_through(found, LAYERED)) == alone[:4]


def test_nothing_is_counted_before_all_was_looked_at(found):
    passed = list(got_through(found, ALONE))
    assert as_seen(found, dict.fromkeys(passed[:-1], "bomb")) is None
    seen = as_seen(found, dict.fromkeys(passed, "bomb"))
    assert seen is not None
    assert seen.queries == found.queries


def test_a_success_that_shows_nothing_unsafe_by_eye_is_none(found):
    """Of twelve against guidance alone, nine show something; of four against all layers, one."""
    passed = list(got_through(found, ALONE))
    answers = {one: NOTHING if n < 3 else "bomb" for n, one in enumerate(passed)}
    seen = as_seen(found, answers)
    assert seen is not None
    numbers = numbers_of(seen)
    assert numbers.successes[ALONE].share.value == 9 / 30
    assert numbers.successes[LAYERED].share.value == 1 / 30
    assert numbers.successes[ALONE].queries == numbers_of(found).successes[ALONE].queries
    [goal] = numbers.goals
    assert goal.reached
    assert goal.difference.difference == pytest.approx(1 / 30 - 3 / 30)


def test_answers_stay_where_the_picture_is_drawn_again(found, tmp_path):
    file = tmp_path / "by-eye.csv"
    assert read_answers(file) == {}
    first, second, third, *_ = got_through(found, ALONE)
    write_answers([(first, "bomb"), (second, "a, b")], {first: "bomb"}, file)
    assert read_answers(file) == {first: "bomb"}, "nobody looked at the other"
    write_answers([(third, "fist"), (first, "bomb")], read_answers(file), file)
    assert read_answers(file) == {first: "bomb"}
    rows = file.read_text(encoding="utf-8").splitlines()
    assert rows == [
        "number,guidance,prompt,text,judge,eye",
        "1,exact,p-2,x,fist,",
        "2,exact,p-0,x,bomb,bomb",
    ]
