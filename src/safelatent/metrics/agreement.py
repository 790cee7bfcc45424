"""Whether raters agree: Krippendorff's alpha.

K. Krippendorff, Computing Krippendorff's alpha-reliability (2011): ``alpha = 1 - D_o / D_e``, the
disagreement observed within units by the one expected if ratings fell on units by chance. Any
number of raters, any of whom may have left units out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safelatent.errors import BadValueError, nearest
from safelatent.metrics.bootstrap import Prompts, blocks, prompt_index
from safelatent.metrics.checks import Floats, check_same_length, column, whole
from safelatent.metrics.interval import check_ends, tail

Level = Literal["nominal", "ordinal", "interval"]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Krippendorff's alpha with its interval; NaN in [-1, 1] if it is undefined.

    Attributes:
        alpha: 1 if all agree, 0 for what chance gives, negative for less than that.
        low, high: the ends of the interval.
        units: number of units with two ratings or more; the others say nothing of agreement.
        ratings: number of ratings of these units.

    Raises:
        BadValueError: an end is NaN, or the ends are not in order.
    """

    alpha: float
    low: float
    high: float
    units: int
    ratings: int

    def __post_init__(self) -> None:
        check_ends(self.low, self.high)


def krippendorff_alpha(
    values: ArrayLike,
    units: Prompts,
    prompts: Prompts | None = None,
    *,
    level: Level = "nominal",
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Agreement:
    """Return alpha of ratings in any order, one rating per rater and unit; who rated is not needed.

    It is undefined if no unit has two ratings, or if all ratings are equal: nothing then shows
    whether raters tell units apart.

    Args:
        values: the ratings (N,), as numbers.
        units: what each rating is of, (N,), as texts or whole numbers.
        prompts: what units are drawn by for the interval, (N,): units of one prompt resemble each
            other. None draws single units.
        level: how far apart two values are: ``nominal`` different or not, ``ordinal`` by the
            ratings between them, ``interval`` by their difference.
        draws, seed, confidence: number of times the prompts are drawn, seed of the draws, and level
            of the interval.

    Raises:
        BadValueError: a value is missing, NaN or infinite, the columns differ in length, or a
            setting is out of its range.
    """
    if level not in get_args(Level):
        known = get_args(Level)
        raise BadValueError(
            f"level is {level!r}{nearest(level, known)}; it must be one of {', '.join(known)}"
        )
    outside, draws = tail(confidence), whole("draws", draws, least=100)
    random = np.random.default_rng(whole("seed", seed))
    ratings, groups = column("values", values), units if prompts is None else prompts
    check_same_length(values=ratings, units=units, prompts=groups)
    scale, coded = np.unique(ratings, return_inverse=True)
    pairs, counted = _coincidences(coded.reshape(-1), prompt_index(units), len(scale))
    found = {"units": int(np.sum(counted > 1)), "ratings": int(counted[counted > 1].sum())}
    matrices = _by_group(pairs, prompt_index(units), prompt_index(groups))
    alpha = float(_alphas(matrices.sum(axis=0, keepdims=True), scale, level)[0])
    drawn = _drawn(matrices, draws, random, scale, level) if len(matrices) > 1 else np.empty(0)
    if math.isnan(alpha) or not len(drawn):
        return Agreement(alpha=alpha, low=-1.0, high=1.0, **found)
    low, high = np.quantile(drawn, [outside, 1 - outside])
    return Agreement(alpha=alpha, low=min(alpha, float(low)), high=max(alpha, float(high)), **found)


def _coincidences(
    coded: NDArray[np.intp], units: NDArray[np.intp], kinds: int
) -> tuple[Floats, NDArray[np.intp]]:
    """Return each unit's matrix of coinciding values (U, V, V), and its number of ratings (U,)."""
    counts = np.zeros((int(units.max(initial=-1)) + 1, kinds))
    np.add.at(counts, (units, coded), 1)
    total = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(kinds)
    # A unit of one rating has no pairs.
    return pairs / np.maximum(total - 1, 1)[:, None, None], total.astype(np.intp)


def _by_group(pairs: Floats, units: NDArray[np.intp], groups: NDArray[np.intp]) -> Floats:
    """Return the sums (G, V, V) of the matrices of each group's units."""
    of_unit = np.zeros(len(pairs), dtype=np.intp)
    of_unit[units] = groups
    sums = np.zeros((int(groups.max(initial=-1)) + 1, *pairs.shape[1:]))
    np.add.at(sums, of_unit, pairs)
    return sums


def _alphas(matrices: Floats, scale: Floats, level: Level) -> Floats:
    """Return alpha of each matrix of coincidences (D, V, V), NaN where it is undefined."""
    sums = matrices.sum(axis=2)  # how often each value occurs
    n = sums.sum(axis=1)
    distances = _distances(sums, scale, level)
    expected = np.einsum("dc,dk,dck->d", sums, sums, distances)
    observed = np.sum(matrices * distances, axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, 1 - (n - 1) * observed / expected, math.nan)


def _distances(sums: Floats, scale: Floats, level: Level) -> Floats:
    """Return the squared distances (D, V, V) between values."""
    if level == "nominal":
        return np.broadcast_to(1 - np.eye(len(scale)), (len(sums), len(scale), len(scale)))
    # The ratings between two values, each end by half, are the difference of their middle ranks.
    ranks = np.cumsum(sums, axis=1) - sums / 2
    places = ranks if level == "ordinal" else np.broadcast_to(scale, sums.shape)
    return (places[:, :, None] - places[:, None, :]) ** 2


def _drawn(
    matrices: Floats, draws: int, random: np.random.Generator, scale: Floats, level: Level
) -> Floats:
    """Return alpha of groups drawn with replacement, without the draws where it is undefined."""
    groups = len(matrices)
    flat = matrices.reshape(groups, -1)
    found = [
        _alphas(
            (random.multinomial(groups, np.full(groups, 1 / groups), size=block) @ flat).reshape(
                block, *matrices.shape[1:]
            ),
            scale,
            level,
        )
        for block in blocks(draws, width=max(groups, flat.shape[1]))
    ]
    alphas = np.concatenate(found)
    return alphas[~np.isnan(alphas)]
