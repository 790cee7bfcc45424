"""What a guard takes away where the prompt names it: shares of what was there without it."""

from __future__ import annotations

import numpy as np
import pytest

from training import measure_named
from training.measure_named import (
    FEW_BY_LEVEL,
    FEW_STEPS,
    alone_prompts,
    measure_alone,
    named_prompts,
    own_concept_pairs,
)
from training.measure_named import measure_named as measured
from training.parts import Parts
from training.vocabulary import SAFE, THINGS


@pytest.fixture
def kept(tmp_path):
    return Parts(tmp_path, minutes=1)


def answers(monkeypatch, **by_method):
    """Verdicts in place of pictures: (unsafe thing or None, main thing) by method and picture;
    returns the list of what is drawn.
    """
    drawn = []

    def judge_method(pool, model, sampling, prompts, noise):
        drawn.append((sampling.method, sampling.by_noise_level))
        rows = by_method[sampling.method]
        assert len(rows) == len(prompts) == len(set(noise))
        what, main = [row[0] for row in rows], [row[1] for row in rows]
        unsafe = [thing is not None for thing in what]
        return {"unsafe": unsafe, "unusable": [False] * len(rows), "main": main, "what": what}

    monkeypatch.setattr(measure_named, "judge_method", judge_method)
    return drawn


def test_prompts_name_a_safe_thing_and_an_unsafe_one():
    prompts = named_prompts(100)
    assert len({text for text, *_ in prompts}) == 100
    for text, main, added in prompts:
        assert THINGS[main].category is None
        assert THINGS[added].category not in (None, "sexual")
        assert text.index(THINGS[main].names[0]) < text.index(" with ") < len(text)
        assert text.endswith(THINGS[added].names[0])
    unsafe = len(THINGS) - len(SAFE)
    assert {n for _, n in alone_prompts(unsafe)} == set(range(len(SAFE), len(THINGS)))


def test_what_is_left_is_a_share_of_what_was_there(monkeypatch, kept):
    prompts = named_prompts(4)
    x, y = [main for _, main, _ in prompts], [added for *_, added in prompts]
    off = [(y[0], x[0]), (y[1], x[1]), (y[0], x[2]), (None, x[3])]  # the third is another thing
    strong = [(None, x[0]), (y[1], None), (None, x[2]), (y[3], x[3])]
    answers(monkeypatch, off=off, strong=strong)
    found = measured(kept, None, None, ("off", "strong"), 4)
    assert found["exactly that"]["share"] == 0.5
    assert found["methods"]["off"]["left"]["share"] == 1
    assert found["methods"]["strong"]["left"]["share"] == pytest.approx(1 / 3)
    assert found["methods"]["strong"]["unsafe"]["share"] == 0.5
    assert found["methods"]["strong"]["main thing"]["share"] == 0.75


def test_where_nothing_was_there_nothing_can_be_left(monkeypatch, kept):
    answers(monkeypatch, off=[(None, 3)] * 2, max=[(None, 3)] * 2)
    found = measure_alone(kept, None, None, ("off", "max"), 2)
    assert "left" not in found["methods"]["max"]
    assert found["methods"]["max"]["unsafe"]["share"] == 0


def test_unguarded_pictures_are_drawn_once_for_both_kinds_of_warm_up(monkeypatch, kept):
    drawn = answers(monkeypatch, off=[(None, 3)] * 2, max=[(None, 3)] * 2)
    for sampling in (FEW_STEPS, FEW_BY_LEVEL):
        measure_alone(kept, None, None, ("off", "max"), 2, sampling)
    assert drawn == [("off", False), ("max", False), ("max", True)]


def test_an_own_concept_is_gone_where_it_was(monkeypatch):
    pairs = own_concept_pairs(4)
    assert len(pairs) == 4
    assert all(x != y and max(x, y) < len(SAFE) for x, y in pairs)
    assert len(own_concept_pairs(2 * len(SAFE))) == 2 * len(SAFE)
    x, y = np.array(pairs).T

    def seen(*shares):
        """Of each picture, how likely its X and its Y are."""
        found = np.zeros((4, len(SAFE)))
        found[np.arange(4), x], found[np.arange(4), y] = np.array(shares).T
        return found

    both, gone, lost, only = (0.5, 0.5), (0.9, 0.0), (0.0, 0.0), (0.0, 1.0)
    answers = iter(
        [
            seen(both, both, both, gone),  # in the fourth Y never was
            seen(gone, both, lost, gone),
            seen(both, both, gone, gone),  # named first, in two
            seen(gone, both, lost, gone),
            seen(only, only, only, only),
            seen(lost, lost, only, lost),
        ]
    )
    asked: list[str] = []
    monkeypatch.setattr(measure_named, "draw", lambda *_: [])
    monkeypatch.setattr(measure_named, "likelihoods", lambda *_: next(answers))

    def draw_each(pool, ways, texts, noise):
        asked.extend(way.concept for way in ways)
        return []

    monkeypatch.setattr(measure_named, "draw_each", draw_each)
    found = measure_named.measure_own_concept(None, None, 4)  # pyright: ignore[reportArgumentType]
    assert asked == 3 * [SAFE[n].names[0] for n in y]
    assert {what: rate["share"] for what, rate in found.items()} == {
        "named second, gone": pytest.approx(2 / 3),
        "named second, gone and the other stays": pytest.approx(1 / 3),
        "named first, gone": pytest.approx(1 / 2),
        "named first, gone and the other stays": pytest.approx(1 / 2),
        "alone, gone": pytest.approx(3 / 4),
    }
