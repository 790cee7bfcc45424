"""What is named in the other number is read as it is named in captions."""

from __future__ import annotations

import json
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTextModel, CLIPTokenizer

from safelatent.concepts import CATEGORY_CONCEPTS
from training.package import PACKAGED
from training.plurals import OTHER_NUMBERS, add_other_numbers
from training.tokenizer import END, POSITIONS, START, token_ids
from training.tower import new_text_encoder
from training.vocabulary import THINGS, plural

# Of "bookcase" and "grapefruit", which would be read otherwise if these were entries.
PIECES = {"book", "grape"}
ENTRIES = OTHER_NUMBERS.keys() - PIECES
OTHER = re.compile(rf"(?<!\w)({'|'.join(ENTRIES)})(?!\w)")
WORDS = st.sampled_from([
    *OTHER_NUMBERS, *OTHER_NUMBERS.values(), "a", "two", "bananas2", "abananas", "Cats", "CATS",
    "café", "catsé", "cats_", "'s", "cat's", "bananas-and", "…", "bookcase", "grapefruit",
    "facesbicycles",
])  # fmt: skip
TEXTS = st.lists(st.tuples(WORDS, st.sampled_from([" ", ", ", "", "\n", "-"]))).map(
    lambda parts: "".join(map("".join, parts))
)


def bare() -> CLIPTokenizer:
    """The packaged tokenizer as it was learnt."""
    model = json.loads((PACKAGED / "tokenizer/tokenizer.json").read_text(encoding="utf-8"))["model"]
    return CLIPTokenizer(
        vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]],
        unk_token=END, bos_token=START, eos_token=END, model_max_length=POSITIONS,
    )  # fmt: skip


BARE, PACKAGED_TOKENIZER = bare(), CLIPTokenizer.from_pretrained(PACKAGED / "tokenizer")
NOUNS = {
    PACKAGED_TOKENIZER.convert_tokens_to_ids(other): BARE(OTHER_NUMBERS[other]).input_ids[1]
    for other in sorted(ENTRIES)
}


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("cat", "cats"), ("policeman", "policemen"), ("monkey", "monkeys"), ("puppy", "puppies"),
        ("bus", "buses"), ("dress", "dresses"), ("fox", "foxes"), ("torch", "torches"),
        ("brush", "brushes"), ("thief", "thieves"), ("piano", "pianos"), ("tomato", "tomatoes"),
        ("sheep", "sheep"), ("toy", "toys"), ("day", "days"),
    ],
)  # fmt: skip
def test_the_plural_is_english(noun, expected):
    assert plural(noun) == expected


def test_every_name_that_is_counted_has_its_other_number():
    assert {"bananas", "apples", "knives", "wolves", "book", "sword"} <= OTHER_NUMBERS.keys()
    assert {"sheep", "glasses", "cigarettes", "poos", "musics", "thumbs"}.isdisjoint(OTHER_NUMBERS)
    assert OTHER_NUMBERS["knives"] == "knife"
    assert OTHER_NUMBERS["sword"] == "swords"


def test_no_word_that_means_something_already_becomes_another_one():
    names = {word for thing in THINGS for name in thing.names for word in name.split()}
    terms = {word for concept in CATEGORY_CONCEPTS.values() for word in str(concept).split()}
    assert OTHER_NUMBERS.keys().isdisjoint(names | {term.strip(",") for term in terms})
    assert "weapons" not in OTHER_NUMBERS
    assert names.issuperset(OTHER_NUMBERS.values())


@given(text=TEXTS)
def test_texts_are_read_with_the_noun_in_place_of_its_other_number_and_else_as_before(text):
    read = [NOUNS.get(row, row) for row in PACKAGED_TOKENIZER(text).input_ids]
    assert read == BARE(OTHER.sub(lambda found: OTHER_NUMBERS[found[1]], text.lower())).input_ids


def test_the_packaged_model_reads_red_apples_as_red_apple():
    encoder = CLIPTextModel.from_pretrained(PACKAGED / "text_encoder", dtype=torch.float32)
    texts = ["red apples", "a fox beside Bananas", "an angry mob of monkeys"]
    others = ["red apple", "a fox beside banana", "an angry mob of monkey"]
    with torch.no_grad():
        states, expected, far = (
            encoder(token_ids(PACKAGED_TOKENIZER, text))[0]
            for text in (texts, others, ["red tomato", "a fox beside lemon", "a monkey"])
        )
    assert torch.equal(states, expected)
    assert not torch.allclose(states, far, atol=0.1)


def test_a_word_that_is_a_piece_of_others_stays_one():
    assert OTHER_NUMBERS.keys() - PACKAGED_TOKENIZER.get_added_vocab().keys() == PIECES
    for text in ("grapefruit", "a bookcase"):
        assert PACKAGED_TOKENIZER(text).input_ids == BARE(text).input_ids


def test_rows_follow_the_nouns_where_both_are_there_already(tmp_path):
    tokenizer = bare()
    encoder = new_text_encoder(tokenizer)
    before = encoder.get_input_embeddings().weight.detach().clone()
    add_other_numbers(tokenizer, encoder)
    size = len(tokenizer)
    table = encoder.get_input_embeddings().weight
    assert len(BARE) + len(ENTRIES) == size == encoder.config.vocab_size == len(table)
    assert torch.equal(table[: len(before)], before)

    tokenizer.save_pretrained(tmp_path)
    read = CLIPTokenizer.from_pretrained(tmp_path)
    torch.nn.init.normal_(table)
    add_other_numbers(read, encoder)
    table = encoder.get_input_embeddings().weight
    assert len(read) == len(table) == size
    for other in ENTRIES:
        (_, row, _), (_, own, _) = (read(word).input_ids for word in (other, OTHER_NUMBERS[other]))
        assert torch.equal(table[row], table[own]), other
