from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.metrics.checks import (
    check_limits,
    check_present,
    check_same_length,
    column,
    feature_pair,
    features,
    unit_rows,
    whole,
)


@given(st.lists(st.one_of(st.booleans(), st.integers(-(10**30), 10**30), st.floats(-1e100, 1e100))))
def test_what_is_accepted_is_kept_to_the_bit(values):
    kept = column("values", values)
    assert kept.dtype == np.float64
    assert kept.tolist() == [float(value) for value in values]


@given(
    st.lists(st.booleans(), min_size=1),
    st.sampled_from([math.nan, None, math.inf, -math.inf, 1e101, 10**400]),
    st.data(),
)
def test_one_bad_value_anywhere_is_refused(values, bad, data):
    place = data.draw(st.integers(0, len(values)))
    spoilt = [*values[:place], bad, *values[place:]]
    found = rf"1 of {len(spoilt)} rows missing, NaN, infinite or no number, first in row {place};"
    with pytest.raises(BadValueError, match=found):
        column("values", spoilt)


def test_every_missing_value_is_counted():
    message = r"^scores has 2 of 4 rows missing.*first in row 1; a missing value never .* safe.*\Z"
    with pytest.raises(BadValueError, match=message):
        column("scores", [0.5, math.nan, 1.0, math.nan])


def test_a_masked_value_is_missing():
    assert column("values", np.ma.array([1.0, 2.0], mask=False)).tolist() == [1, 2]
    with pytest.raises(BadValueError, match=r"1 of 2 rows missing.*row 1"):
        column("values", np.ma.array([1.0, 2.0], mask=[False, True]))


@pytest.mark.parametrize(
    "values",
    [
        3.0,
        [[1.0, 2.0]],
        [[1], [2, 3]],
        ["1", "2"],
        "12",
        None,
        [1j],
        [Decimal(1)],
        np.array(["2020-01-01"], dtype="datetime64[D]"),
    ],
    ids=repr,
)
def test_what_is_no_row_of_numbers_is_refused(values):
    with pytest.raises(BadValueError, match=r"^values [^\n]*\Z"):
        column("values", values)


def test_a_value_beyond_its_limits_is_refused():
    assert column("values", [0, 1, 0.5], (0, 1)).tolist() == [0, 1, 0.5]
    with pytest.raises(
        BadValueError, match=r"values has 30 in row 1; every value must lie from 0 to 1"
    ):
        column("values", [1, 30, 40], (0, 1))


@pytest.mark.parametrize("limits", [(1, 0), (1, 1), (math.nan, 1), (0, math.nan)])
def test_limits_are_in_order(limits):
    with pytest.raises(BadValueError, match="limits are"):
        check_limits(limits)


def test_lengths_are_compared():
    check_same_length(a=[], b=np.zeros(0))
    with pytest.raises(BadValueError, match="a has 1, b has 2"):
        check_same_length(a=[1], b=["x", "y"])


@pytest.mark.parametrize(
    "rows",
    [None, True, "text", b"text", np.array(1.0), iter([])],
    ids=lambda rows: type(rows).__name__,
)
def test_what_is_no_column_is_refused(rows):
    with pytest.raises(BadValueError, match=r"a is .*list or an array"):
        check_same_length(a=rows)


def test_missing_items_are_refused():
    check_present("prompts", ["", 0, "nan"])
    with pytest.raises(BadValueError, match=r"prompts has 2 of 3 rows missing.*first in row 1"):
        check_present("prompts", ["a", None, np.float32("nan")])


@pytest.mark.parametrize(
    "value", [-1, 1.0, True, "1", None, math.nan, 2**63, [1], np.bool_(True)], ids=repr
)
def test_whole_numbers_only(value):
    with pytest.raises(BadValueError, match=r"n is .* whole number from 0"):
        whole("n", value)


def test_whole_numbers_of_any_kind():
    assert [whole("n", value) for value in (0, np.int64(3), np.uint8(4), 2**63 - 1)] == [
        0,
        3,
        4,
        2**63 - 1,
    ]
    with pytest.raises(BadValueError, match="from 1"):
        whole("n", 0, least=1)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int64])
def test_features_of_any_precision_become_doubles(kind):
    kept = features("features", np.arange(6, dtype=kind).reshape(3, 2))
    assert kept.dtype == np.float64
    assert kept.tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ones(4), r"shape \(4,\) .* give numbers \(N, D\)"),
        (np.ones((1, 4)), r"shape \(1, 4\) .* at least 2"),
        (np.ones((3, 0)), r"shape \(3, 0\)"),
        ([[1, 2], [3]], "rows of different lengths"),
        ([["1"], ["2"]], "type <U1"),
        (np.ones((2, 2), dtype=complex), "type complex"),
        ([[1, math.nan], [math.inf, 1], [1, 1], [-1e21, 1]], "in 3 of 4 rows, first in row 0"),
        (np.ma.array([[1, 2], [3, 4]], mask=[[0, 0], [1, 0]]), "in 1 of 2 rows, first in row 1"),
    ],
)
def test_what_are_no_features_is_refused_in_one_line(values, words):
    with pytest.raises(BadValueError, match=words) as error:
        features("features", values)
    assert "\n" not in str(error.value)


def test_two_sets_of_features_have_one_width():
    assert [each.shape for each in feature_pair(np.ones((2, 3)), np.ones((4, 3)))] == [
        (2, 3),
        (4, 3),
    ]
    with pytest.raises(BadValueError, match="3 and 5 values per image; compute both with one mod"):
        feature_pair(np.ones((2, 3)), np.ones((2, 5)))


def test_rows_are_scaled_to_length_1():
    np.testing.assert_allclose(
        unit_rows("rows", np.array([[3.0, 4.0], [0, -1e-9]])), [[0.6, 0.8], [0, -1]]
    )
    with pytest.raises(BadValueError, match="rows has 0 in every place of row 1"):
        unit_rows("rows", np.array([[3.0, 4.0], [0, 0]]))
