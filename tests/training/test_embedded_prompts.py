"""The sets of the embedded world: what their sentences are made of. That they load, and are
balanced, is tested beside their loader.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import safelatent.prompts
from safelatent.prompts import CATEGORIES, embedded_benign, embedded_i2p, embedded_i2p_train
from training import embedded_prompts as made
from training import sentences as made_of
from training.captions import caption
from training.scenes import SIZE, random_scene
from training.vocabulary import ADJECTIVES, NOUNS, THINGS, UNSAFE, words

# The sets' figures in the card are those of the weights in the package.
of_this_world = pytest.mark.skipif(
    made.SIDE != SIZE, reason="the package's weights and sets are of an earlier world"
)
PACKAGE = Path(safelatent.prompts.__file__).parent
FORMS = {
    "test": (made_of.HELD_OUT, made_of.EXPLICIT_HELD_OUT),
    "training": (made_of.TRAIN, made_of.EXPLICIT_TRAIN),
}
UNSAFE_NAMES = re.compile(
    "|".join(rf"\b{re.escape(name)}\b" for thing in UNSAFE for name in thing.names)
)


def lines(table: str) -> list[str]:
    return table.strip().splitlines()


def forms(name: str) -> list[str]:
    implicit, explicit = FORMS[name]
    return [*(form for table in implicit.values() for form in lines(table)), *lines(explicit)]


def concept_words(category: str) -> set[str]:
    terms = (*words(NOUNS[category]), *words(ADJECTIVES[category]))
    return {word for term in terms for word in term.split() if len(word) > 2}


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z-]+", text.lower()))


@of_this_world
def test_the_files_in_the_package_are_what_the_generator_writes():
    tables = made.tables()
    assert {file.name for file in PACKAGE.glob("*.csv")} == set(tables)
    for name, text in tables.items():
        assert (PACKAGE / name).read_bytes() == text.encode(), (
            f"run python -m training.embedded_prompts: {name} is another"
        )


def test_main_writes_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(made, "TARGET", tmp_path)
    made.main()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        name: text.encode() for name, text in made.tables().items()
    }
    assert "embedded_i2p.csv: 700 prompts" in capsys.readouterr().out


def test_no_form_of_the_test_set_is_one_of_the_training_set():
    assert set(made_of.HELD_OUT) == set(made_of.TRAIN) == set(CATEGORIES)
    slots = re.compile(r"\{\w+\}")
    shapes = {name: [slots.sub("_", form) for form in forms(name)] for name in FORMS}
    assert not set(shapes["test"]) & set(shapes["training"])
    for name, found in shapes.items():
        assert len(set(found)) == len(found), f"a form of the {name} set stands twice"


def test_no_prompt_of_a_test_set_is_a_caption_that_the_generator_may_have_learnt():
    rng = np.random.default_rng(0)
    captions = {
        caption(rng, random_scene(rng, kind))
        for kind in ("addition", "unsafe", "single", "place")
        for _ in range(5000)
    }
    assert not captions & {prompt.text for prompt in (*embedded_i2p(), *embedded_benign())}
    assert not set(lines(made_of.EVERYDAY)) & {*lines(made_of.PLAIN), *lines(made_of.LOOK_ALIKES)}


@of_this_world
@pytest.mark.parametrize("load", [embedded_i2p, embedded_i2p_train])
def test_implicit_prompts_name_nothing_unsafe_and_explicit_ones_do(load):
    assert not [prompt.text for prompt in load("implicit") if UNSAFE_NAMES.search(prompt.text)]
    for prompt in load("explicit"):
        names = [
            name
            for thing in UNSAFE
            if thing.category == prompt.categories[0]
            for name in thing.names
        ]
        assert any(name in prompt.text for name in names), prompt.text


@pytest.mark.parametrize("load", [embedded_i2p, embedded_i2p_train])
def test_implicit_prompts_mostly_speak_in_words_that_the_model_learnt(load):
    spoken = [
        bool(words_of(prompt.text) & concept_words(prompt.categories[0]))
        for prompt in load("implicit")
    ]
    assert np.mean(spoken) > 0.8


def test_most_words_of_all_sets_are_the_models():
    glue = {"a", "an", "the", "of", "and", "with", "at", "in", "on", "by", "to", "from", "for"}
    known = {word for thing in THINGS for name in thing.names for word in name.split()} | glue
    known |= {word for category in CATEGORIES for word in concept_words(category)}
    for load in (embedded_i2p, embedded_i2p_train, embedded_benign):
        found = [word for prompt in load() for word in re.findall(r"[a-z'-]+", prompt.text.lower())]
        assert np.mean([word in known or word.removesuffix("s") in known for word in found]) > 0.75


def test_plain_prompts_hold_no_word_of_the_unsafe_and_look_alikes_are_many():
    unsafe = {word for category in CATEGORIES for word in concept_words(category)}
    for prompt in embedded_benign("plain"):
        assert not UNSAFE_NAMES.search(prompt.text), prompt.text
        assert not words_of(prompt.text) & unsafe, prompt.text
    alike = {prompt.text for prompt in embedded_benign("look-alike")}
    for phrase in lines(made_of.LOOK_ALIKES):
        assert any(text.startswith(f"{phrase} ") for text in alike), phrase


def test_a_sentence_has_no_word_of_its_slots_twice():
    writer = made.Writer(1)
    slots = {"being": ("cat", "dog"), "beings": ("cats", "dogs")}
    assert {writer.sentence("{being} and {being}", slots) for _ in range(2)} == {
        "cat and dog",
        "dog and cat",
    }
    assert {made.Writer(n).sentence("the {beings} and a {being}", slots) for n in range(9)} == {
        "the cats and a dog",
        "the dogs and a cat",
    }
