"""What each rater sees is a function of the seed and the rater: balanced, complete, repeatable."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from safelatent.errors import BadValueError
from safelatent.hashing import digest
from safelatent.study import ImagePair, StudySettings, plan, session
from safelatent.study.plan import CONSENT, QUESTIONS


def comparisons(count: int, methods=("off", "max")) -> list[ImagePair]:
    return [
        ImagePair(
            prompt=f"prompt {n}",
            prompt_id=f"p-{n}",
            categories=(),
            image=0,
            methods=pair,
            pictures=("0" * 32, "1" * 32),
            blurred=False,
        )
        for n in range(count)
        for pair in combinations(methods, 2)
    ]


def settings(**changes) -> StudySettings:
    return StudySettings(**({"methods": ("off", "max")} | changes))


def first_time(pages):
    return [one for one in pages if not one.repeat]


def test_the_deck_is_shuffled_once_for_all_raters(monkeypatch):
    hashed = []
    monkeypatch.setattr(plan, "digest", lambda what: hashed.append(what) or digest(what))
    for rater in range(1, 6):
        session(settings(pairs=2, seed=987), comparisons(300), rater)
    assert sum(what[1] == "deck" for what in hashed) == 300


def test_a_session_is_a_function_of_seed_and_rater():
    known = comparisons(50)
    one = session(settings(seed=3), known, 7)
    assert session(settings(seed=3), known, 7) == one
    assert session(settings(seed=4), known, 7) != one
    assert session(settings(seed=3), known, 8) != one


def test_sessions_never_change():
    """The answers that are stored in databases are checked against it."""
    pages = session(settings(seed=1, pairs=12), comparisons(40), 5)
    shown = [[one.comparison, one.swapped, one.repeat] for one in pages]
    assert digest(shown)[:16] == "327bb883a5199d0d"


@pytest.mark.parametrize("total", [1, 2, 3, 30, 47])
@pytest.mark.parametrize("rater", [1, 2, 100_000])
def test_a_rater_sees_distinct_pairs_and_as_many_as_there_are(total, rater):
    pages = first_time(session(settings(), comparisons(total), rater))
    assert len(pages) == min(30, total)
    assert len({one.comparison for one in pages}) == len(pages)


def test_every_pair_is_seen_equally_often():
    """A hundred pairs, thirty per rater: after ten raters, each pair has three."""
    known = comparisons(100)
    seen = Counter(
        one.comparison
        for rater in range(1, 11)
        for one in first_time(session(settings(), known, rater))
    )
    assert set(seen.values()) == {3}


def test_sides_are_balanced_within_each_two_methods():
    known = comparisons(20, ("off", "medium", "max"))
    for rater in range(1, 6):
        pages = first_time(session(settings(methods="off,medium,max", pairs=60), known, rater))
        for methods in combinations(("off", "medium", "max"), 2):
            swapped = [one.swapped for one in pages if known[one.comparison].methods == methods]
            assert sum(swapped) == len(swapped) / 2


def test_sides_of_a_pair_differ_between_raters():
    known = comparisons(10)
    swaps = [
        next(one.swapped for one in session(settings(), known, rater) if one.comparison == 4)
        for rater in range(1, 41)
    ]
    assert 8 < sum(swaps) < 32


def test_two_raters_see_the_same_pairs_in_another_order():
    known = comparisons(30)
    one, other = (session(settings(), known, rater) for rater in (1, 2))
    assert {page.comparison for page in one} == {page.comparison for page in other}
    assert [page.comparison for page in one] != [page.comparison for page in other]


@pytest.mark.parametrize(("repeats", "expected"), [(0, 0), (0.1, 3), (0.25, 8)])
def test_repeats_come_late_with_the_sides_swapped(repeats, expected):
    for rater in range(1, 20):
        pages = session(settings(repeats=repeats), comparisons(100), rater)
        again = [one for one in pages if one.repeat]
        assert (len(pages), len(again)) == (30 + expected, expected)
        for one in again:
            first = next(page for page in pages if page.comparison == one.comparison)
            assert first.swapped is not one.swapped
            assert pages.index(one) - pages.index(first) > 10


def test_too_few_pairs_have_no_repeats():
    assert len(session(settings(repeats=0.25), comparisons(2), 1)) == 2


def test_names_are_taken_as_text_or_as_a_sequence():
    one = settings(methods="strong, off", questions="alignment,fidelity")
    other = settings(methods=["off", "strong"], questions=("fidelity", "alignment"))
    assert one == other
    assert one.questions == tuple(QUESTIONS)
    assert one.consent == CONSENT


BAD = {
    "one method": ({"methods": "off"}, "compares two or more .* max, adaptive"),
    "unknown method": ({"methods": "off,stong"}, "did you mean 'strong'"),
    "a method twice": ({"methods": "off,off"}, "each once"),
    "unknown question": ({"questions": "fidelty"}, "did you mean 'fidelity'"),
    "no question": ({"questions": ","}, "at least one of fidelity, alignment"),
    "a question twice": ({"questions": "fidelity,fidelity"}, "each once"),
    "no pairs": ({"pairs": 0}, "pairs is 0; it must be a whole number from 1"),
    "half a pair": ({"pairs": 1.5}, "pairs is 1.5"),
    "negative seed": ({"seed": -1}, "seed is -1"),
    "too many repeats": ({"repeats": 0.5}, "a share from 0 to 0.25"),
    "repeats as text": ({"repeats": "0.1"}, "a share from 0 to 0.25"),
    "nan": ({"repeats": float("nan")}, "a share from 0 to 0.25"),
    "no consent": ({"consent": " \n"}, "consent text is empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_refused(case):
    changes, words = BAD[case]
    with pytest.raises(BadValueError, match=words):
        settings(**changes)


@pytest.mark.parametrize(
    ("text", "categories"), [("[withheld]", ()), ("a schoolgirl", ("sexual",)), ("naked teen", ())]
)
def test_what_no_image_may_be_made_from_is_never_compared(text, categories):
    with pytest.raises(BadValueError):
        ImagePair(
            prompt=text,
            prompt_id="p",
            categories=categories,
            image=0,
            methods=("off", "max"),
            pictures=("0" * 32, "1" * 32),
            blurred=True,
        )
