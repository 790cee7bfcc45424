from __future__ import annotations

from dataclasses import replace

import pytest

from safelatent import BadValueError
from safelatent.prompts import PromptSet
from safelatent.runs.growth import grow, without_last_growth
from safelatent.runs.plan import Extent
from tests.runs import dummy

PROMPTS = dummy.prompt_set()
PLAN = dummy.plan(PROMPTS)


def test_the_same_command_changes_nothing():
    assert grow(PLAN, PLAN.settings, PROMPTS) == PLAN


def test_every_growth_is_remembered():
    more = dummy.prompt_set(8)
    once = grow(PLAN, dummy.settings(more, images=4), more)
    assert once.earlier == (Extent(prompts=6, images=2, methods=("off", "medium", "max")),)
    assert once.extent == Extent(prompts=8, images=4, methods=("off", "medium", "max"))
    settings = dummy.settings(more, images=4, methods=dummy.METHODS)
    twice = grow(once, settings, more)
    assert twice.earlier == (PLAN.extent, once.extent)
    assert grow(twice, settings, more) == twice
    back = without_last_growth(twice)
    assert back is not None
    assert back.extent == once.extent
    assert [*back] == [*once]
    first = without_last_growth(back)
    assert first is not None
    assert [*first] == [*PLAN]
    assert without_last_growth(PLAN) is None


def test_new_prompts_come_after_those_that_were_there():
    first, *others = dummy.prompt_set(8).prompts
    mixed = PromptSet(name="mixed", prompts=(*others, first), rows=8, skipped={})
    grown = grow(PLAN, dummy.settings(mixed), mixed)
    assert [p.id for p in grown.prompts] == [f"p-{n}" for n in range(8)]
    assert grown.settings.prompts == "mixed"
    assert grown.settings.prompts_digest == grown.prompts.digest != mixed.digest
    assert grow(grown, dummy.settings(mixed), mixed) == grown


def test_a_prompt_of_the_same_id_must_be_the_same_prompt():
    first, *others = PROMPTS.prompts
    changed = PromptSet(
        name="dummy", prompts=(replace(first, seed=99), *others), rows=6, skipped={}
    )
    message = r"prompts changed: 1 \('p-0' first: seed is 99, was 0\)"
    with pytest.raises(BadValueError, match=message):
        grow(PLAN, dummy.settings(changed), changed)


def test_all_differences_are_named():
    fewer = dummy.prompt_set(5)
    with pytest.raises(BadValueError) as caught:
        grow(PLAN, dummy.settings(fewer, steps=7, images=1, methods=("max",)), fewer)
    for part in (
        "steps is 7",
        "images is 1",
        "methods left out: off, medium",
        "prompts left out: 1",
    ):
        assert part in str(caught.value)
