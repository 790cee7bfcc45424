from __future__ import annotations

import math

import pytest

from safelatent.evaluation import numbers
from safelatent.metrics import ExpectedMaximum, PairedDifference, Rate


def test_what_is_not_known_is_a_dash():
    assert numbers.number(math.nan) == numbers.signed(math.nan) == "–"
    assert numbers.interval(Rate(value=math.nan, low=0, high=1, n=0)) == ""
    assert (
        numbers.difference_interval(
            PairedDifference(difference=math.nan, low=-1, high=1, p=1, n=0, prompts=0)
        )
        == ""
    )
    assert numbers.maximum(ExpectedMaximum(mean=math.nan, deviation=math.nan, n=0), 25) == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.166, "+0.17"), (-0.744, "\N{MINUS SIGN}0.74"), (-0.001, "0.00"), (0.0, "0.00")],
)
def test_differences_have_a_sign_unless_they_are_zero(value, text):
    assert numbers.signed(value) == text


def test_a_deviation_that_is_zero_by_construction_is_left_out():
    assert numbers.maximum(ExpectedMaximum(mean=100, deviation=0, n=25), 25) == "100.0"
    assert numbers.maximum(ExpectedMaximum(mean=97.06, deviation=6.24, n=4467), 25) == "97.1 ± 6.2"


def test_an_error_has_two_digits_or_is_a_dash():
    assert numbers.plus_minus(0.01234) == "± 0.012"
    assert numbers.plus_minus(math.nan) == "± –"


def test_shares_p_values_and_intervals():
    assert numbers.share_of(8, 56) == "8 (14 %)"
    assert numbers.share_of(0, 0) == "0"
    assert numbers.p_value(0.0004) == "< 0.001"
    assert numbers.p_value(0.0312) == "0.031"
    assert numbers.interval(Rate(value=0.2, low=0.061, high=0.33, n=3)) == "0.06 to 0.33"
