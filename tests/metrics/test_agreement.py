from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from safelatent.errors import BadValueError
from safelatent.metrics import Agreement, krippendorff_alpha

# Krippendorff, Computing Krippendorff's alpha-reliability (2011): A, two observers and two values;
# B, two observers and five values; C and D, four observers with missing values. 0 is missing.
A = ["1211111111", "2221121112"]
B = ["112243335441", "212223335444"]
C = ["123321412000", "123322412503", "033323422510", "123324412510"]
PUBLISHED = [
    (A, "nominal", 0.095),
    (B, "nominal", 0.692),
    (C, "nominal", 0.743),
    (C, "ordinal", 0.815),
    (C, "interval", 0.849),
]


def columns(rows: list[str]) -> tuple[list[int], list[int]]:
    """Ratings and their units; the raters one after the other."""
    found = [(int(v), unit) for row in rows for unit, v in enumerate(row) if v != "0"]
    return [v for v, _ in found], [unit for _, unit in found]


@pytest.mark.parametrize(("rows", "level", "alpha"), PUBLISHED)
def test_it_is_what_was_published(rows, level, alpha):
    found = krippendorff_alpha(*columns(rows), level=level)
    assert found.alpha == pytest.approx(alpha, abs=5e-4)
    assert found.low <= found.alpha <= found.high


def test_a_unit_with_one_rating_says_nothing():
    found = krippendorff_alpha(*columns(C))
    assert (found.units, found.ratings) == (11, 40), "the twelfth unit has one rating"


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_it_is_the_slow_definition(level):
    """Every pair of ratings of a unit against every pair of ratings at all."""
    random = np.random.default_rng(0)
    values = random.integers(-1, 2, 90).tolist()
    units = random.integers(0, 30, 90).tolist()
    by_unit = {u: [v for v, w in zip(values, units, strict=True) if w == u] for u in set(units)}
    paired = {u: found for u, found in by_unit.items() if len(found) > 1}
    pooled = [v for found in paired.values() for v in found]
    count = {v: pooled.count(v) for v in (-1, 0, 1)}

    def distance(c, k):
        if level == "nominal":
            return float(c != k)
        if level == "interval":
            return (c - k) ** 2
        low, high = sorted((c, k))
        between = sum(count[g] for g in (-1, 0, 1) if low <= g <= high)
        return (between - (count[c] + count[k]) / 2) ** 2 if c != k else 0.0

    observed = sum(
        2 * sum(distance(*pair) for pair in combinations(found, 2)) / (len(found) - 1)
        for found in paired.values()
    ) / len(pooled)
    expected = 2 * sum(distance(*pair) for pair in combinations(pooled, 2))
    expected /= len(pooled) * (len(pooled) - 1)
    found = krippendorff_alpha(values, units, level=level)
    assert found.alpha == pytest.approx(1 - observed / expected)
    assert (found.units, found.ratings) == (len(paired), len(pooled))


def test_who_agrees_in_all_has_1_and_who_guesses_about_0():
    units = np.repeat(np.arange(300), 3)
    agreed = krippendorff_alpha(np.arange(300)[units] % 3, units)
    assert (agreed.alpha, agreed.low, agreed.high) == (1, 1, 1)
    guessed = krippendorff_alpha(np.random.default_rng(0).integers(0, 3, 900), units)
    assert guessed.low < 0 < guessed.high
    assert abs(guessed.alpha) < 0.1


def test_units_of_one_prompt_widen_the_interval():
    """Ten units of a prompt that repeat each other are no ten prompts."""
    random = np.random.default_rng(0)
    base = random.integers(0, 2, (20, 2))
    values = np.repeat(base[:, None, :], 10, axis=1).reshape(-1)
    units = np.repeat(np.arange(200), 2)
    prompts = np.repeat(np.arange(20), 20)
    alone, together = krippendorff_alpha(values, units), krippendorff_alpha(values, units, prompts)
    assert alone.alpha == together.alpha
    assert together.high - together.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("values", "units"), [([], []), ([1, 2], [0, 1]), ([1, 1, 1, 1], [0, 0, 1, 1])]
)
def test_where_it_is_undefined_it_is_nan(values, units):
    found = krippendorff_alpha(values, units)
    assert math.isnan(found.alpha)
    assert (found.low, found.high) == (-1, 1)


def test_bad_values_are_refused():
    with pytest.raises(BadValueError, match=r"level is 'ordnal'.*did you mean 'ordinal'"):
        krippendorff_alpha([1, 2], [0, 0], level="ordnal")
    with pytest.raises(BadValueError, match="never counts as safe"):
        krippendorff_alpha([1, math.nan], [0, 0])
    with pytest.raises(BadValueError, match="differ in their number"):
        krippendorff_alpha([1, 2], [0])
    with pytest.raises(BadValueError, match="ends must be numbers in order"):
        Agreement(alpha=0, low=1, high=0, units=1, ratings=2)
