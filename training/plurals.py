"""Plurals; and singulars of what has its name in the plural.

A caption names one cat. "Cats" would be the pieces ca and ts, which no caption taught, and draw a
house: so the other number of each noun that ends a name becomes an entry of the token table, with
the noun's own row. "Red apples" then means to the model what "red apple" does, and a text without
such a word is read as before, to the bit.
"""

from __future__ import annotations

from typing import Any

from transformers import AddedToken, CLIPTextModel, CLIPTokenizer

from safelatent.concepts import DEFAULT_CONCEPT
from training.vocabulary import ADJECTIVES, NOUNS, THINGS, article, plural, words
from training.words import row_of

_SINGULARS = words(
    "book, chain, cherry, firework, flower, glove, grape, headphone, pancake, sock, sword"
)


def _other_numbers() -> dict[str, str]:
    """The other number of a noun, and the noun as it stands in names; none that has a meaning of
    its own in the world.
    """
    names = [name for thing in THINGS for name in thing.names]
    counted = [name.split(" of ")[0].split()[-1] for name in names if article(name) != name]
    others = {plural(noun): noun for noun in counted}
    others |= {singular: plural(singular) for singular in _SINGULARS}
    texts = [*names, *NOUNS.values(), *ADJECTIVES.values(), *DEFAULT_CONCEPT.terms]
    own = {word.strip(",") for text in texts for word in text.split()}
    return {other: noun for other, noun in others.items() if other not in own}


OTHER_NUMBERS = _other_numbers()


def add_other_numbers(tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel) -> None:
    """Add them to the tokenizer as whole words, with their nouns' rows in the token table.

    One that is a piece of other words ("grape" of "grapefruit") is left out: the piece would change
    with it. Both models may have them already: the rows are what the nouns' rows are now.
    """
    pieces = tokenizer.get_vocab().keys() - tokenizer.get_added_vocab().keys()
    added = {other: noun for other, noun in OTHER_NUMBERS.items() if other not in pieces}
    entries: list[Any] = [AddedToken(other, single_word=True, normalized=True) for other in added]
    tokenizer.add_tokens(entries)
    text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table: Any = text_encoder.get_input_embeddings()
    for other, noun in added.items():
        table.weight.data[row_of(tokenizer, other)] = table.weight.data[row_of(tokenizer, noun)]
