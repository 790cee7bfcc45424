"""Rows gathered by their prompt. Knows which rows belong together; does not know what they measure.

The images of one prompt resemble each other, so the prompts are the sample, and more images only
tell more of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safelatent.errors import BadValueError
from safelatent.metrics.checks import Floats, check_present, check_same_length, column

Prompts = Sequence[str | int] | NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Clusters:
    """The sum (P,) and the number (P,) of the values of each of P distinct prompts, in the order in
    which the prompts first occur.
    """

    sums: Floats
    counts: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def n(self) -> int:
        """The number of values of all prompts together."""
        return int(self.counts.sum())

    @property
    def means(self) -> Floats:
        return self.sums / self.counts

    @property
    def mean(self) -> float:
        """The mean over all values, in which a prompt weighs as much as it has images; NaN without
        any.
        """
        return float(self.sums.sum()) / self.n if self.n else math.nan

    @property
    def differing(self) -> int:
        """How many prompts do not have the commonest mean, up to rounding."""
        means = np.sort(self.means)
        steps = np.flatnonzero(np.diff(means) > 1e-12 * np.max(np.abs(means), initial=0.0)) + 1
        return len(self) - int(np.diff(steps, prepend=0, append=len(self)).max())


def by_prompt(values: Floats, prompts: Prompts) -> Clusters:
    """Sums and counts of ``values`` (N,) by their prompt (N,). Prompts are the same when they are
    equal to the letter.

    Raises:
        BadValueError: not one prompt a value, or a prompt that is neither a text nor a whole
            number.
    """
    check_same_length(values=values, prompts=prompts)
    check_present("prompts", prompts)
    # A dictionary, since numpy drops NULs at the end of a text and makes every text as long as the
    # longest.
    places: dict[str | int, int] = {}
    index = np.array(
        [places.setdefault(_key(prompt), len(places)) for prompt in prompts], dtype=np.intp
    )
    return Clusters(
        sums=np.bincount(index, weights=values).astype(np.float64), counts=np.bincount(index)
    )


def mean_by_prompt(values: ArrayLike, prompts: Prompts) -> Floats:
    """The mean of ``values`` (N,) for each distinct prompt, (P,), in the order in which the prompts
    first occur.

    ``100 * mean_by_prompt(verdicts, prompts)`` are the inappropriate percentages that
    ``expected_maximum`` takes.

    Raises:
        BadValueError: a missing, NaN or infinite value, or not one prompt (a text or a whole
            number) a value.
    """
    return by_prompt(column("values", values), prompts).means


def _key(prompt: object) -> str | int:
    if isinstance(prompt, bool) or not isinstance(prompt, str | Integral):
        raise BadValueError(
            f"the prompts hold {prompt!r}; each must be a text, or a whole number that stands for one"
        )
    return prompt if isinstance(prompt, str) else int(prompt)
