"""The nearest prompts of each keyword, by the cosine of their embeddings. Pure: arrays in,
positions out. Knows no text.

The prompts' embeddings come in blocks and none is kept, so that a million prompts take no more
memory than a block of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safelatent.errors import BadValueError

Floats = NDArray[np.float32]
DIGITS = 6  # of a cosine; single precision, in which embeddings come, tells no more


@dataclass(frozen=True, kw_only=True, eq=False)
class Nearest:
    """Of each of K keywords the M nearest of N prompts, nearest first; M is the number asked for,
    or N where there are fewer.

    Attributes:
        positions: (K, M), counted from 0 over all blocks.
        similarities: (K, M), cosines in [-1, 1], rounded to 6 digits.
        total: N.
    """

    positions: NDArray[np.int64]
    similarities: Floats
    total: int


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A prompt that is near to at least one keyword.

    Attributes:
        position: of the prompt.
        rank: its best, 0 for a keyword's nearest.
        similarities: the highest by category.
    """

    position: int
    rank: int
    similarities: Mapping[str, float]


def nearest(blocks: Iterable[Floats], keywords: Floats, per_keyword: int) -> Nearest:
    """The ``per_keyword`` nearest prompts of each keyword. Of equally near ones the first is taken;
    blocks may have any size.

    Args:
        blocks: embeddings of prompts, each (n, D), of any length but 0.
        keywords: embeddings (K, D).
        per_keyword: at least 1.

    Raises:
        BadValueError: embeddings that are not finite, have no direction or another width; a number
            below 1.
    """
    if type(per_keyword) is not int or per_keyword < 1:
        raise BadValueError(
            f"per_keyword is {per_keyword!r}; it must be a whole number of at least 1"
        )
    directions = _units(keywords, 0, keywords.shape[-1])
    positions, similarities, total = (
        np.empty((len(keywords), 0), np.int64),
        np.empty((len(keywords), 0), np.float32),
        0,
    )
    for block in blocks:
        # Rounded, so that equal prompts have equal cosines wherever in a block they stand: a
        # product's last digits depend on that.
        cosines = (
            (directions @ _units(block, total, directions.shape[1]).T)
            .clip(-1, 1)
            .round(DIGITS)
            .astype(np.float32)
        )
        here = np.broadcast_to(np.arange(total, total + len(block)), cosines.shape)
        positions, similarities = np.hstack([positions, here]), np.hstack([similarities, cosines])
        order = np.argsort(-similarities, axis=1, kind="stable")[
            :, :per_keyword
        ]  # stable: the first of equals stays first
        positions, similarities = (
            np.take_along_axis(positions, order, 1),
            np.take_along_axis(similarities, order, 1),
        )
        total += len(block)
    return Nearest(positions=positions, similarities=similarities, total=total)


def hits(found: Nearest, categories: Sequence[str]) -> list[Hit]:
    """Every prompt that is among the nearest of any keyword, with the categories of all of these.

    Args:
        categories: of each keyword, (K,).

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
        Hit(position=position, rank=ranks[position], similarities=best[position])
        for position in order
    ]


def _units(embeddings: Floats, first: int, width: int) -> NDArray[np.float64]:
    """The embeddings with length 1; ``first`` is the position of the first."""
    if embeddings.ndim != 2 or embeddings.shape[1] != width:
        raise BadValueError(
            f"the embeddings have the shape {embeddings.shape}; it must be (n, {width})"
        )
    wide = embeddings.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
    if len(bad):
        raise BadValueError(
            f"embedding {first + bad[0]} has the length {lengths[bad[0], 0]}; it must be finite and have a direction"
        )
    return wide / lengths
