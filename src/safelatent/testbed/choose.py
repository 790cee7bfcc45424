"""From what is near to what, to the prompts of a test bed: usable ones with categories and seeds,
and every row accounted for.

Knows prompts; does not know how texts are embedded, nor files or images.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from safelatent.errors import BadValueError
from safelatent.prompts import CATEGORIES, PromptSet, UnusableError
from safelatent.testbed.corpus import Corpus
from safelatent.testbed.embed import Embedded
from safelatent.testbed.keywords import Keyword
from safelatent.testbed.nearest import Floats, Hit, Nearest, hits, nearest

NAME = "testbed"
FAR = "not near a keyword"
MAX_PER_KEYWORD = 100_000


@dataclass(frozen=True, kw_only=True)
class Choosing:
    """How prompts are chosen.

    Attributes:
        per_keyword: of the nearest prompts; 250 in the paper.
        guidance_scale: of every prompt.
        seed: of the prompts' seeds.
        limit: only the first prompts, which are the nearest of every keyword; None for all.

    Raises:
        BadValueError: a value that makes no sense.
    """

    per_keyword: int = 250
    guidance_scale: float = 7.5
    seed: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        if type(self.per_keyword) is not int or not 1 <= self.per_keyword <= MAX_PER_KEYWORD:
            raise BadValueError(
                f"per_keyword is {self.per_keyword!r}; it must be a whole number from 1 to {MAX_PER_KEYWORD}"
            )
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise BadValueError(
                f"the seed is {self.seed!r}; it must be a whole number from 0 to 2^63 - 1"
            )
        if self.limit is not None and (type(self.limit) is not int or self.limit < 1):
            raise BadValueError(
                f"the limit is {self.limit!r}; it must be a whole number of at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class Search:
    """What one keyword found: how many prompts, and the cosines of the first and the last of them.

    Some of them may be no part of the test bed, since no image may be made from them or they are
    beyond the limit.
    """

    category: str
    text: str
    count: int
    highest: float
    lowest: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The prompts of a test bed and how they came to be it.

    Attributes:
        inputs: everything that determines the rest, as plain values.
        rows: of each corpus, by its name.
        prompts: nearest first, with categories in I2P's order; rows that gave none are counted.
        similarities: of each prompt, by its id: the highest cosine by category.
        searches: one a keyword.
        cut: how many texts of the corpora were longer than the embedder reads.
    """

    inputs: Mapping[str, Any]
    rows: Mapping[str, int]
    prompts: PromptSet
    similarities: Mapping[str, Mapping[str, float]]
    searches: tuple[Search, ...]
    cut: int

    def with_toxicity(self, values: Sequence[float]) -> Choice:
        """The same with the toxicity of each prompt."""
        prompts = tuple(
            replace(prompt, toxicity=value)
            for prompt, value in zip(self.prompts, values, strict=True)
        )
        return replace(self, prompts=replace(self.prompts, prompts=prompts))


def choose(
    corpus: Corpus,
    keywords: Sequence[Keyword],
    words: Embedded,
    blocks: Iterable[Embedded],
    choosing: Choosing,
    inputs: Mapping[str, Any],
) -> Choice:
    """The nearest prompts of every keyword, each once.

    Args:
        words: the embeddings of the keywords.
        blocks: those of the corpus' prompts, in order; read once.
        inputs: kept as they are.

    Raises:
        BadValueError: a keyword that the embedder reads a part of only, embeddings that make no
            sense, or no usable prompt.
    """
    if words.cut:
        raise BadValueError(
            f"{words.cut} keywords are longer than the embedder reads; shorten them"
        )
    cuts: list[int] = []
    found = nearest(_vectors(blocks, cuts), words.vectors, choosing.per_keyword)
    near = hits(found, [keyword.category for keyword in keywords])
    prompts = _prompts(corpus, near, choosing)
    here = {prompt.id for prompt in prompts}
    similarities = {corpus.prompts[hit.position].id: hit.similarities for hit in near}
    return Choice(
        inputs=inputs,
        rows=corpus.rows,
        prompts=prompts,
        similarities={key: value for key, value in similarities.items() if key in here},
        searches=tuple(_search(keyword, found, n) for n, keyword in enumerate(keywords)),
        cut=sum(cuts),
    )


def seeds(count: int, seed: int) -> list[int]:
    """``count`` different seeds of 32 bits; fewer of the same ``seed`` are the first of more."""
    generator, found = random.Random(seed), dict[int, None]()  # noqa: S311  # to be repeated, not to be secret
    while len(found) < count:
        found[generator.getrandbits(32)] = None
    return list(found)


def _vectors(blocks: Iterable[Embedded], cuts: list[int]) -> Iterator[Floats]:
    for block in blocks:
        cuts.append(block.cut)
        yield block.vectors


def _prompts(corpus: Corpus, near: Sequence[Hit], choosing: Choosing) -> PromptSet:
    skipped, usable = Counter(corpus.skipped), []
    skipped[FAR] += len(corpus.prompts) - len(near)
    for hit in near:
        labels = tuple(label for label in CATEGORIES if label in hit.similarities)
        try:
            usable.append(
                replace(
                    corpus.prompts[hit.position],
                    categories=labels,
                    guidance_scale=choosing.guidance_scale,
                )
            )
        except (
            UnusableError
        ) as unusable_now:  # its new category may forbid what its text alone did not
            skipped[unusable_now.reason] += 1
    prompts = tuple(
        replace(p, seed=s) for p, s in zip(usable, seeds(len(usable), choosing.seed), strict=True)
    )
    chosen = PromptSet(name=NAME, prompts=prompts, rows=sum(corpus.rows.values()), skipped=+skipped)
    return chosen if choosing.limit is None else chosen.limit(choosing.limit)


def _search(keyword: Keyword, found: Nearest, n: int) -> Search:
    near = found.similarities[n].tolist()
    return Search(
        category=keyword.category,
        text=keyword.text,
        count=len(near),
        highest=near[0],
        lowest=near[-1],
    )
