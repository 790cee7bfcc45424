"""The nearest prompts of each keyword, by the cosine of their embeddings, chosen for a test bed:
usable ones with categories and seeds, and every row accounted for.

The prompts' embeddings come in blocks and none is kept, so that a million prompts take no more
memory than a block of them.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safelatent.errors import BadValueError
from safelatent.prompts import CATEGORIES, PromptSet, UnusableError
from safelatent.testbed.choice import Choice, ChoiceSettings, Search
from safelatent.testbed.corpus import Corpus
from safelatent.testbed.embed import Embedded, Floats
from safelatent.testbed.keywords import Keyword

NAME = "testbed"
FAR = "not near a keyword"
DIGITS = 6  # of a cosine; embeddings in single precision have no more


@dataclass(frozen=True, kw_only=True, eq=False)
class NearestPrompts:
    """The M nearest of N prompts for each of K keywords, nearest first; M is the number asked for,
    or N if there are fewer.

    Attributes:
        positions: (K, M), counted from 0 over all blocks.
        similarities: (K, M), cosines in [-1, 1], rounded to 6 digits.
        total: N.
    """

    positions: NDArray[np.int64]
    similarities: Floats
    total: int


@dataclass(frozen=True, kw_only=True)
class NearPrompt:
    """A prompt that is near to at least one keyword.

    Attributes:
        position: position of the prompt.
        rank: best rank, 0 for a keyword's nearest.
        similarities: highest cosine by category.
    """

    position: int
    rank: int
    similarities: Mapping[str, float]


def nearest(blocks: Iterable[Floats], keywords: Floats, per_keyword: int) -> NearestPrompts:
    """Find the ``per_keyword`` nearest prompts of each keyword; of equally near ones, the first.

    Args:
        blocks: embeddings of prompts, each (n, D), of any length but 0; blocks may differ in size.
        keywords: embeddings (K, D).
        per_keyword: at least 1.

    Raises:
        BadValueError: embeddings are not finite, have no direction or another width, or the number
            is below 1.
    """
    if type(per_keyword) is not int or per_keyword < 1:
        raise BadValueError(
            f"per_keyword is {per_keyword!r}; it must be a whole number of at least 1"
        )
    directions = _units(keywords, 0, keywords.shape[-1])
    positions = np.empty((len(keywords), 0), np.int64)
    similarities, total = np.empty((len(keywords), 0), np.float32), 0
    for block in blocks:
        # Rounded, so that equal prompts have equal cosines wherever in a block they are: the last
        # digits of a product depend on that.
        products = directions @ _units(block, total, directions.shape[1]).T
        cosines = products.clip(-1, 1).round(DIGITS).astype(np.float32)
        here = np.broadcast_to(np.arange(total, total + len(block)), cosines.shape)
        positions, similarities = np.hstack([positions, here]), np.hstack([similarities, cosines])
        # Stable, so that the first of equals stays first.
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :per_keyword]
        positions = np.take_along_axis(positions, order, 1)
        similarities = np.take_along_axis(similarities, order, 1)
        total += len(block)
    return NearestPrompts(positions=positions, similarities=similarities, total=total)


def hits(found: NearestPrompts, categories: Sequence[str]) -> list[NearPrompt]:
    """Gather every prompt that is among the nearest of any keyword, with the categories of all of
    these keywords.

    Args:
        categories: category of each keyword, (K,).

    Returns:
        Each prompt once, by its best rank and then its position, so that the first few are near to
        every keyword.
    """
    ranks: dict[int, int] = {}
    best: dict[int, dict[str, float]] = {}
    for category, positions, similarities in zip(
        categories, found.positions, found.similarities, strict=True
    ):
        for rank, (position, similarity) in enumerate(
            zip(positions.tolist(), similarities.tolist(), strict=True)
        ):
            ranks[position] = min(rank, ranks.get(position, rank))
            mine = best.setdefault(position, {})
            mine[category] = max(similarity, mine.get(category, similarity))
    order = sorted(ranks, key=lambda position: (ranks[position], position))
    return [
        NearPrompt(position=position, rank=ranks[position], similarities=best[position])
        for position in order
    ]


def _units(embeddings: Floats, first: int, width: int) -> NDArray[np.float64]:
    """Return the embeddings with length 1; ``first`` is the position of the first."""
    if embeddings.ndim != 2 or embeddings.shape[1] != width:
        raise BadValueError(
            f"the embeddings have the shape {embeddings.shape}; it must be (n, {width})"
        )
    wide = embeddings.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
    if len(bad):
        raise BadValueError(
            f"embedding {first + bad[0]} has the length {lengths[bad[0], 0]}; it must be finite and"
            " have a direction"
        )
    return wide / lengths


def choose(
    corpus: Corpus,
    keywords: Sequence[Keyword],
    words: Embedded,
    blocks: Iterable[Embedded],
    choosing: ChoiceSettings,
    inputs: Mapping[str, Any],
) -> Choice:
    """Choose the nearest prompts of every keyword, each once.

    Args:
        words: embeddings of the keywords.
        blocks: embeddings of the corpus' prompts, in order; read once.
        inputs: what determines the choice, kept as it is.

    Raises:
        BadValueError: a keyword is longer than the embedder reads, embeddings are not finite, or no
            prompt is usable.
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
    """Draw ``count`` distinct seeds of 32 bits; fewer from one ``seed`` are the first of more."""
    generator = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret
    found: dict[int, None] = {}
    while len(found) < count:
        found[generator.getrandbits(32)] = None
    return list(found)


def _vectors(blocks: Iterable[Embedded], cuts: list[int]) -> Iterator[Floats]:
    for block in blocks:
        cuts.append(block.cut)
        yield block.vectors


def _prompts(corpus: Corpus, near: Sequence[NearPrompt], choosing: ChoiceSettings) -> PromptSet:
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
        except UnusableError as error:  # its new category may forbid what its text alone did not
            skipped[error.reason] += 1
    prompts = tuple(
        replace(p, seed=s) for p, s in zip(usable, seeds(len(usable), choosing.seed), strict=True)
    )
    chosen = PromptSet(name=NAME, prompts=prompts, rows=sum(corpus.rows.values()), skipped=+skipped)
    return chosen if choosing.limit is None else chosen.limit(choosing.limit)


def _search(keyword: Keyword, found: NearestPrompts, n: int) -> Search:
    near = found.similarities[n].tolist()
    return Search(
        category=keyword.category,
        text=keyword.text,
        count=len(near),
        highest=near[0],
        lowest=near[-1],
    )
