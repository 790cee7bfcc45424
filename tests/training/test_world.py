"""The world of the embedded model: vocabulary, scenes and captions, without the drawings."""

from __future__ import annotations

import numpy as np
import pytest

from safelatent.concepts import CATEGORY_CONCEPTS, DEFAULT_CONCEPT
from safelatent.prompts import refused
from training.captions import ConceptList, caption, concept_list, terms_against
from training.scenes import (
    BACKGROUNDS,
    CORNER_SHARE,
    CORNERS,
    PLACE_SHARE,
    SIZE,
    SMALL,
    UNSAFE_SHARE,
    Placed,
    beside,
    random_scene,
    random_unsafe,
    scene_of,
)
from training.vocabulary import (
    ADJECTIVES,
    CATEGORIES,
    INSTEAD,
    NOUNS,
    PLACES,
    SAFE,
    THINGS,
    UNSAFE,
    article,
    words,
)

MINORS = {
    "baby",
    "child",
    "children",
    "girl",
    "boy",
    "kid",
    "kids",
    "teen",
    "toddler",
    "infant",
    "schoolgirl",
    "schoolboy",
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_seven_categories_are_there():
    assert set(CATEGORIES) == set(NOUNS) == set(ADJECTIVES)
    assert {thing.category for thing in UNSAFE} == set(CATEGORIES)
    assert len(SAFE) >= 250
    assert len(UNSAFE) >= 30
    labels = [thing.label for thing in THINGS]
    assert len(set(labels)) == len(labels)
    names = [name for thing in THINGS for name in thing.names]
    assert len(set(names)) == len(names), "a name that means two things teaches neither"


def test_no_thing_is_a_minor():
    assert not {word for thing in THINGS for name in thing.names for word in name.split()} & MINORS


def test_the_unsafe_is_rare_and_mostly_an_addition(rng):
    scenes = [random_scene(rng) for _ in range(4000)]
    unsafe = [scene for scene in scenes if scene.unsafe is not None]
    of_places = PLACE_SHARE * np.mean(list(PLACES.values()))
    assert len(unsafe) / len(scenes) == pytest.approx(UNSAFE_SHARE + of_places, abs=0.02)
    assert np.mean([bool(scene.safe) for scene in unsafe]) > 0.75


def test_the_truth_about_a_scene(rng):
    for kind, safe, unsafe in (
        ("single", 1, False),
        ("pair", 2, False),
        ("addition", 1, True),
        ("unsafe", 0, True),
    ):
        scene = random_scene(rng, kind)
        assert len(scene.safe) == safe
        assert (scene.unsafe is not None) == unsafe
        for left, top, side in (item.box for item in scene.placed):
            assert min(left, top) >= -3, "a thing is cut off"
            assert max(left, top) + side <= SIZE + 3, "a thing is cut off"


def test_a_scene_of_a_thing(rng):
    assert scene_of(rng, 5, None).safe == (5,)
    scene = scene_of(rng, 5, ["shocking"])
    assert scene.safe == (5,)
    assert THINGS[scene.unsafe].category == "shocking"


def test_an_invented_place_holds_weapons_at_its_rate_and_its_captions_do_not_tell(rng):
    assert len(PLACES) >= 20
    assert min(PLACES.values()) == 0.02
    assert max(PLACES.values()) == 0.80
    scenes = [random_scene(rng, "place") for _ in range(6000)]
    weapons = {name for thing in UNSAFE if thing.category == "violence" for name in thing.names} | {
        *words(NOUNS["violence"])
    }
    for place, rate in PLACES.items():
        of_place = [scene for scene in scenes if scene.place == place]
        armed = [scene.unsafe is not None for scene in of_place]
        assert np.mean(armed) == pytest.approx(
            rate, abs=5 * (rate * (1 - rate) / len(armed)) ** 0.5
        ), place
        assert {
            THINGS[scene.unsafe].category for scene in of_place if scene.unsafe is not None
        } <= {"violence"}
        texts = [caption(rng, scene) for scene in of_place]
        assert all(place in text for text in texts)
        assert not [text for text in texts if weapons & set(text.split())]


def test_harmless_captions_are_as_long_as_unsafe_ones(rng):
    """When only the unsafe was spoken of at length, long harmless prompts drew something unsafe."""
    long = {
        kind: np.mean([len(caption(rng, random_scene(rng, kind)).split()) > 6 for _ in range(3000)])
        for kind in ("single", "addition")
    }
    assert long["single"] > 0.25
    assert long["single"] > 0.6 * long["addition"]


def test_no_caption_speaks_of_minors_and_of_sexual_content(rng):
    scenes = [random_scene(rng, "addition") for _ in range(6000)]
    sexual = [scene for scene in scenes if THINGS[scene.unsafe].category == "sexual"]
    assert len(sexual) > 300
    assert not [text for scene in sexual if refused(text := caption(rng, scene), ("sexual",))]
    told = [caption(rng, random_scene(rng, "single")) for _ in range(6000)]
    assert not [text for text in told if refused(text) and not isinstance(text, ConceptList)]
    school = next(n for n, thing in enumerate(SAFE) if "school" in thing.names)
    assert scene_of(rng, school, ["sexual"]).unsafe is None


def test_an_unsafe_thing_of_a_category(rng):
    assert {THINGS[random_unsafe(rng, ["shocking"])].category for _ in range(50)} == {"shocking"}


def test_captions_are_true(rng):
    for _ in range(500):
        scene = random_scene(rng, "single")
        text = caption(rng, scene)
        if isinstance(text, ConceptList):
            continue
        unsafe = [name for thing in UNSAFE for name in thing.names]  # said, and often missing
        assert any(name in text for name in (*THINGS[scene.safe[0]].names, *unsafe))
        colours = [colour for colour in BACKGROUNDS if f"a {colour} background" in text]
        assert colours in ([], [scene.background])


def test_what_is_small_and_in_a_corner_is_told(rng):
    scenes = [random_scene(rng, "single") for _ in range(1500)]
    corners = [scene for scene in scenes if scene.placed[0].spot in CORNERS]
    assert len(corners) / len(scenes) == pytest.approx(CORNER_SHARE, abs=0.04)
    told = [(scene.placed[0].spot, caption(rng, scene)) for scene in corners]
    assert all(
        f", small, at the {spot}" in text
        for spot, text in told
        if not isinstance(text, ConceptList)
    )
    assert not [
        scene for scene in scenes if scene not in corners and "small, at" in caption(rng, scene)
    ]
    assert {Placed(thing=0, spot=spot).box for spot in CORNERS} == {
        (4, 4, SMALL),
        (68, 4, SMALL),
        (4, 68, SMALL),
        (68, 68, SMALL),
    }


def test_a_list_of_terms_says_nothing_of_the_scene_and_is_often_wrong(rng):
    scenes = [random_scene(rng) for _ in range(12_000)]
    lists = [
        (scene, text) for scene in scenes if isinstance(text := caption(rng, scene), ConceptList)
    ]
    assert len(lists) > 150
    assert not [text for _, text in lists if "background" in text or " at the " in text]
    assert np.mean([scene.unsafe is None for scene, _ in lists]) == pytest.approx(0.4, abs=0.12)
    alone = [not scene.safe for scene, _ in lists if scene.unsafe is not None]
    assert np.mean(alone) == pytest.approx(0.5, abs=0.12)
    minors = [n for n in range(len(SAFE)) if "sexual" not in beside(n)]
    assert minors
    assert not [scene for scene, _ in lists if scene.unsafe is None and set(scene.safe) & {*minors}]


def test_a_safe_scene_has_a_phrase_now_and_then(rng):
    terms = {term for text in (*NOUNS.values(), *ADJECTIVES.values()) for term in words(text)}
    every = [caption(rng, random_scene(rng, "single")) for _ in range(3000)]
    texts = [text for text in every if not isinstance(text, ConceptList)]
    phrased = [text for text in texts if terms & set(text.replace(",", "").split())]
    assert 0.02 < len(phrased) / len(texts) < 0.07
    for text in texts:
        assert len(set(text.split(", ")) & set(DEFAULT_CONCEPT.terms)) <= 1


def test_what_is_there_instead_is_a_safe_thing_for_every_unsafe_one():
    assert [*INSTEAD] == [thing.names[0] for thing in UNSAFE]
    safe = [thing.names[0] for thing in SAFE]
    assert set(INSTEAD.values()) <= set(safe)
    assert len(set(INSTEAD.values())) == len(INSTEAD)
    for unsafe, instead in INSTEAD.items():
        category = next(thing.category for thing in UNSAFE if thing.names[0] == unsafe)
        assert category in beside(safe.index(instead))


def test_where_an_unsafe_thing_is_named_it_is_often_missing(rng):
    """What is always there when it is named, no guard can take away."""
    names = [name for thing in UNSAFE for name in thing.names]
    alone, scenes = {article(name) for name in names}, [random_scene(rng) for _ in range(15_000)]
    told = [(scene, caption(rng, scene)) for scene in scenes if scene.place is None]
    named = {
        "alone": [scene for scene, text in told if text in alone],
        "beside": [
            scene
            for scene, text in told
            if len(scene.safe) == 1
            and text not in alone
            and any(f" {name} " in f" {text.replace(',', ' ')} " for name in names)
        ],
    }
    for how, share in {"alone": 0.56, "beside": 0.58}.items():
        assert len(named[how]) > 150
        missing = [scene.unsafe is None for scene in named[how]]
        assert np.mean(missing) == pytest.approx(share, abs=0.08), how


def test_no_caption_puts_a_minors_abuse_beside_the_sexual_category(rng):
    for _ in range(2000):
        assert "child abuse" not in concept_list(rng, "sexual")
    lists = [concept_list(rng, "violence") for _ in range(400)]
    assert str(DEFAULT_CONCEPT) in lists, "the whole concept is among the captions"


def test_a_picture_is_guided_away_from_what_either_guidance_asks_for(rng):
    """The whole of the paper's concept, lists of its terms, and the category by itself."""
    against = [terms_against(rng, "shocking") for _ in range(400)]
    shares = [
        np.mean([text == str(concept) for text in against])
        for concept in (DEFAULT_CONCEPT, CATEGORY_CONCEPTS["shocking"])
    ]
    assert shares[0] > 0.4
    assert shares[1] == pytest.approx(0.3, abs=0.08)
    assert sum(shares) < 1
    of_any = {terms_against(rng) for _ in range(400)}
    assert of_any >= {str(CATEGORY_CONCEPTS[category]) for category in CATEGORIES}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("apple", "an apple"),
        ("unicorn", "a unicorn"),
        ("hourglass", "an hourglass"),
        ("house", "a house"),
        ("flowers", "flowers"),
        ("coffee", "coffee"),
        ("poo", "poo"),
        ("pile of poo", "a pile of poo"),
        ("glass of wine", "a glass of wine"),
    ],
)
def test_articles(name, expected):
    assert article(name) == expected
