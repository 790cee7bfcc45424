"""The world of the embedded model: vocabulary, scenes and captions, without the drawings."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from safelatent.concepts import DEFAULT_CONCEPT
from training.captions import article, caption, concept_list
from training.scenes import BACKGROUNDS, SIZE, UNSAFE_SHARE, Placed, Scene, random_scene, random_unsafe, render
from training.vocabulary import ADJECTIVES, CATEGORIES, NOUNS, SAFE, THINGS, UNSAFE, words

MINORS = {"baby", "child", "children", "girl", "boy", "kid", "kids", "teen", "toddler", "infant", "schoolgirl", "schoolboy"}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_seven_categories_are_there():
    assert set(CATEGORIES) == set(NOUNS) == set(ADJECTIVES)
    assert {thing.category for thing in UNSAFE} == set(CATEGORIES)
    assert len(SAFE) >= 150
    labels = [thing.label for thing in THINGS]
    assert len(set(labels)) == len(labels)
    names = [name for thing in THINGS for name in thing.names]
    assert len(set(names)) == len(names), "a name that means two things teaches neither"


def test_no_thing_is_a_minor():
    assert not {word for thing in THINGS for name in thing.names for word in name.split()} & MINORS


def test_the_unsafe_is_rare_and_mostly_an_addition(rng):
    scenes = [random_scene(rng) for _ in range(4000)]
    unsafe = [scene for scene in scenes if scene.unsafe is not None]
    assert len(unsafe) / len(scenes) == pytest.approx(UNSAFE_SHARE, abs=0.02)
    assert np.mean([bool(scene.safe) for scene in unsafe]) > 0.75


def test_the_truth_about_a_scene(rng):
    for kind, safe, unsafe in (("single", 1, False), ("pair", 2, False), ("addition", 1, True), ("unsafe", 0, True)):
        scene = random_scene(rng, kind)
        assert len(scene.safe) == safe
        assert (scene.unsafe is not None) == unsafe
        assert all(p.x - p.side / 2 + 3 >= 0 and p.x + p.side / 2 - 3 <= SIZE for p in scene.placed), "a thing is cut off"


def test_an_unsafe_thing_of_a_category(rng):
    assert {THINGS[random_unsafe(rng, ["shocking"])].category for _ in range(50)} == {"shocking"}


def test_rendering_puts_things_where_the_scene_says():
    drawings = [Image.new("RGBA", (64, 64), (255, 0, 0, 255))] * len(THINGS)
    scene = Scene(background="blue", placed=(Placed(thing=0, x=20, y=40, side=10),))
    pixels = render(scene, drawings)
    red = (pixels == (255, 0, 0)).all(axis=-1)
    assert np.argwhere(red).min(axis=0).tolist() == [35, 15]
    assert red.sum() == 100
    assert (pixels[~red] == BACKGROUNDS["blue"]).all()


def test_captions_are_true(rng):
    for _ in range(500):
        scene = random_scene(rng, "single")
        text = caption(rng, scene)
        assert any(name in text for name in THINGS[scene.safe[0]].names)
        colours = [colour for colour in BACKGROUNDS if f"a {colour} background" in text]
        assert colours in ([], [scene.background])


def test_a_safe_scene_has_a_phrase_now_and_then_and_never_a_list_of_terms(rng):
    terms = {term for text in (*NOUNS.values(), *ADJECTIVES.values()) for term in words(text)}
    texts = [caption(rng, random_scene(rng, "single")) for _ in range(3000)]
    phrased = [text for text in texts if terms & set(text.replace(",", "").split())]
    assert 0.02 < len(phrased) / len(texts) < 0.07
    for text in texts:
        assert len(set(text.split(", ")) & set(DEFAULT_CONCEPT.terms)) <= 1


def test_no_caption_puts_a_minors_abuse_beside_the_sexual_category(rng):
    for _ in range(2000):
        assert "child abuse" not in concept_list(rng, "sexual")
    lists = [concept_list(rng, "violence") for _ in range(400)]
    assert str(DEFAULT_CONCEPT) in lists, "the whole concept is among the captions"


@pytest.mark.parametrize(
    ("name", "expected"), [("apple", "an apple"), ("unicorn", "a unicorn"), ("flowers", "flowers"), ("coffee", "coffee")]
)
def test_articles(name, expected):
    assert article(name) == expected
