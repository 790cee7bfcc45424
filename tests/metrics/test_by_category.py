from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.metrics import (
    OVERALL,
    by_category,
    expected_maximum,
    mean_by_prompt,
    paired_difference,
    rate,
    wilson,
)
from tests.prompts import i2p_like

rows = st.lists(
    st.tuples(st.integers(0, 9), st.sets(st.sampled_from(["hate", "sexual", "violence"])))
)


@given(rows)
def test_a_row_counts_in_each_of_its_categories(pairs):
    """The slow definition, with ``list`` as the metric: exactly the rows of each, in order."""
    values, categories = [value for value, _ in pairs], [names for _, names in pairs]
    found = by_category(values, categories, list)
    assert found.pop(OVERALL) == values
    assert set(found) == set().union(*categories)
    for name, group in found.items():
        assert group == [value for value, names in pairs if name in names]


def test_the_order_of_the_rows_does_not_order_the_categories():
    assert list(by_category([1, 2, 3], [["b"], ["c", "a"], []], len)) == ["a", "b", "c", "overall"]


def test_a_name_twice_in_a_row_counts_once():
    assert by_category([1], [["a", "a"]], len) == {"a": 1, OVERALL: 1}


def test_every_metric_can_be_taken():
    random = np.random.default_rng(0)
    verdicts, other = random.random((2, 60)) < 0.4
    prompts = [f"prompt {i // 3}" for i in range(60)]
    categories = [("a",) if i < 30 else ("a", "b") for i in range(60)]
    rates = by_category((verdicts, prompts), categories, rate)
    assert rates == {
        "a": rate(verdicts, prompts),
        "b": rate(verdicts[30:], prompts[30:]),
        OVERALL: rate(verdicts, prompts),
    }
    assert by_category(verdicts, categories, lambda v: wilson(np.count_nonzero(v), len(v)))[
        "b"
    ] == wilson(int(verdicts[30:].sum()), 30)
    paired = by_category(
        (verdicts, other, prompts), categories, partial(paired_difference, seed=1, draws=100)
    )
    assert paired["b"] == paired_difference(
        verdicts[30:], other[30:], prompts[30:], seed=1, draws=100
    )
    maxima = by_category(
        (verdicts, prompts),
        categories,
        lambda v, p: expected_maximum(100 * mean_by_prompt(v, p), size=3),
    )
    assert maxima["b"] == expected_maximum(
        100 * mean_by_prompt(verdicts[30:], prompts[30:]), size=3
    )


def test_a_metric_over_a_metric_over_a_metric():
    inner = partial(by_category, metric=len)
    assert by_category(([1, 2, 3], [["x"], ["y"], ["x"]]), [["a"], ["a"], []], inner) == {
        "a": {"x": 1, "y": 1, OVERALL: 2},
        OVERALL: {"x": 2, "y": 1, OVERALL: 3},
    }


def by_label(rows) -> dict[str, int]:
    labels = [row["categories"].split(", ") for row in rows]
    return by_category([row["prompt"] for row in rows], labels, len)


def test_the_categories_of_thirty_rows():
    facts = i2p_like.FACTS
    assert by_label(i2p_like.rows()) == {**facts.categories, OVERALL: facts.rows}


@i2p_like.needs_data
def test_the_categories_of_the_data_set():
    facts = i2p_like.PUBLISHED
    assert by_label(i2p_like.published_rows()) == {**facts.categories, OVERALL: facts.rows}


def test_no_rows_have_an_overall():
    assert list(by_category(([], []), [], rate)) == [OVERALL]


class Labelled(list):
    """Like a table's column: iterated in order, but indexed by labels of its own."""

    def __getitem__(self, label):
        return super().__getitem__(len(self) - 1 - label)


def test_rows_are_taken_by_their_place():
    assert by_category(Labelled([1, 2, 3]), [["a"], [], []], list)["a"] == [1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("violence, hate", "row 1 are 'violence, hate'; give a tuple"),
        (None, "row 1 are None"),
        (3, "row 1 are 3"),
        ([""], "category ''"),
        ([" hate"], "category ' hate'"),
        ([None], "category None"),
        ([math.nan], "category nan"),
        ([OVERALL], "category 'overall'"),
    ],
    ids=str,
)
def test_categories_out_of_range_are_refused(names, message):
    with pytest.raises(BadValueError, match=message):
        by_category([1, 0], [["hate"], names], len)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, math.nan], "column 0 of values has 1 of 2 rows missing"),
        (np.array([math.nan, 1.0]), "column 0 of values has 1 of 2 rows missing"),
        (([1, 0], ["a", None]), "column 1 of values has 1 of 2 rows missing"),
        ([1], "column 0 of values has 1, categories has 2"),
        (([1, 0], ["a"]), "column 1 of values has 1"),
        ((True, False), "column 0 of values is True; it must be a list"),
        (("a", "b"), "column 0 of values is 'a'"),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(values, message):
    with pytest.raises(BadValueError, match=message):
        by_category(values, [["a"], ["b"]], len)
