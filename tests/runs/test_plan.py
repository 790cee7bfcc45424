from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies

from safelatent import BadValueError
from safelatent.generation.methods import METHODS
from safelatent.runs.plan import Extent, RunPlan
from tests.runs import dummy

PROMPTS = dummy.prompt_set()


def plan(**changes) -> RunPlan:
    return RunPlan(settings=dummy.settings(PROMPTS, **changes), prompts=PROMPTS)


def keys(**changes) -> set[str]:
    return {item.key for batch in plan(**changes) for item in batch.items}


@settings(max_examples=40)
@given(
    images=strategies.integers(1, 4),
    batch=strategies.integers(1, 9),
    count=strategies.integers(1, 6),
)
def test_every_item_is_planned_once_and_batches_share_a_call(images, batch, count):
    made = plan(images=images, batch_size=batch, methods=METHODS[:count])
    items = [item for one in made for item in one.items]
    expected = {(p.id, n, m) for p in PROMPTS for n in range(images) for m in METHODS[:count]}
    assert sorted((item.prompt.id, item.image, item.method) for item in items) == sorted(expected)
    assert len(items) == len(made) == len({item.key for item in items})
    for one in made:
        assert 1 <= len(one.items) <= batch
        for item in one.items:
            p = item.prompt
            assert (one.method, one.width, one.height, one.guidance_scale) == (
                item.method,
                p.width,
                p.height,
                p.guidance_scale,
            )


def test_methods_of_the_same_noise_follow_one_another_unguarded_first():
    batches = list(plan())
    for start in range(0, len(batches), 3):
        three = batches[start : start + 3]
        assert [one.method for one in three] == ["off", "medium", "max"]
        assert (
            len({tuple((item.prompt.id, item.image) for item in one.items) for one in three}) == 1
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"model_digest": "2" * 64},
        {"steps": 20},
        {"dtype": "float16"},
        {"device": "cuda"},
        {"scheduler": {"class": "Other"}},
        {"guidance_scale": 5.0},
        {"size": "model"},
    ],
    ids=str,
)
def test_a_key_changes_with_whatever_determines_the_image(changes):
    assert keys().isdisjoint(keys(**changes))


def test_a_key_stays_where_nothing_of_the_image_changes():
    assert keys() == keys(batch_size=5, protocol="other", protocol_hash="3" * 64)
    assert keys(images=1) < keys(images=2)
    assert keys(methods=("off",)) < keys()
    guarded = {
        item.key for one in plan(concept="violence") for item in one.items if item.method != "off"
    }
    assert guarded.isdisjoint(keys())
    assert {
        item.key for one in plan(concept="violence") for item in one.items if item.method == "off"
    } < keys()


def test_the_batches_of_an_earlier_extent_stay_as_they_were():
    """And what a growth adds is drawn in whole batches of its own, each image once."""
    small = plan(images=1, methods=("off", "max"))
    prompts = dummy.prompt_set(9)
    settings = dummy.settings(prompts, images=3, methods=("off", "weak", "max"))
    grown = RunPlan(settings=settings, prompts=prompts, earlier=(small.extent,))
    batches = list(grown)
    assert batches[: len(list(small))] == list(small)
    whole = RunPlan(settings=settings, prompts=prompts)
    added = [item.key for batch in batches for item in batch.items]
    assert len(added) == len(set(added)) == len(grown) == 9 * 3 * 3
    assert set(added) == {item.key for batch in whole for item in batch.items}
    first = {(p.id, n) for p in PROMPTS for n in range(1)}
    for batch in batches[len(list(small)) :]:
        places = {(item.prompt.id, item.image) for item in batch.items}
        assert places <= first if batch.method == "weak" and places & first else not places & first


def test_an_extent_covers_what_is_part_of_it():
    extent = Extent(prompts=3, images=2, methods=("off", "max"))
    assert len(extent) == 12
    assert extent.covers(extent)
    assert extent.covers(Extent())
    assert extent.covers(Extent(prompts=3, images=1, methods=("max",)))
    for more in ({"prompts": 4}, {"images": 3}, {"methods": ("weak",)}):
        values = {"prompts": 3, "images": 2, "methods": ("off",)} | more
        assert not extent.covers(Extent(**values))
    for wrong in ({"prompts": -1}, {"images": 1.5}, {"methods": ("stong",)}):
        with pytest.raises(BadValueError, match=next(iter(wrong))):
            Extent(**wrong)
