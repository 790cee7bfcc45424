from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies

from safelatent import DEFAULT_CONCEPT, BadValueError
from safelatent.generation.methods import METHODS, method_settings, parse_methods
from safelatent.runs.plan import Plan
from safelatent.runs.settings import RunSettings
from tests.runs import dummy

PROMPTS = dummy.prompt_set()


def plan(**changes) -> Plan:
    return Plan(settings=dummy.settings(PROMPTS, **changes), prompts=PROMPTS)


def keys(**changes) -> set[str]:
    return {item.key for batch in plan(**changes) for item in batch.items}


@settings(max_examples=40)
@given(
    images=strategies.integers(1, 4),
    batch=strategies.integers(1, 9),
    count=strategies.integers(1, 6),
)
def test_every_item_is_planned_once_and_batches_share_a_call(images, batch, count):
    made = plan(images=images, batch=batch, methods=METHODS[:count])
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
    assert keys() == keys(batch=5, protocol="other", protocol_hash="3" * 64)
    assert keys(images=1) < keys(images=2)
    assert keys(methods=("off",)) < keys()
    guarded = {
        item.key for one in plan(concept="violence") for item in one.items if item.method != "off"
    }
    assert guarded.isdisjoint(keys())
    assert {
        item.key for one in plan(concept="violence") for item in one.items if item.method == "off"
    } < keys()


def test_methods_by_name():
    assert parse_methods("max, OFF,negative") == ("off", "negative prompt", "max")
    settings_of = [method_settings(name, DEFAULT_CONCEPT) for name in METHODS]
    assert len({str(values) for values in settings_of}) == len(METHODS)
    for text, message in (
        ("", "name at least one"),
        ("off,off", "each once"),
        ("stong", "did you mean 'strong'"),
    ):
        with pytest.raises(BadValueError, match=message):
            parse_methods(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 0}, "images is 0"),
        ({"batch": True}, "batch is True"),
        ({"steps": 20_000}, "steps is 20000"),
        ({"guidance_scale": 1.0}, "guidance_scale is 1.0"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan"),
        ({"size": "huge"}, "size is 'huge'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(BadValueError, match=message):
        dummy.settings(PROMPTS, **changes)


def test_settings_survive_json_and_name_their_differences():
    one = dummy.settings(PROMPTS)
    assert RunSettings.from_dict(one.as_dict()) == one
    assert one.differences(one) == []
    assert dummy.settings(PROMPTS, steps=20).differences(one) == ["steps is 20, was 50"]
    with pytest.raises(BadValueError, match="do not fit this version \\(steps\\)"):
        RunSettings.from_dict({k: v for k, v in one.as_dict().items() if k != "steps"})
