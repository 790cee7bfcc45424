from __future__ import annotations

import dataclasses
import math

import pytest

from safelatent.errors import BadValueError
from safelatent.metrics import Rate
from safelatent.metrics.interval import normal_quantile, tail


@pytest.mark.parametrize(
    "confidence", [1e-12, 0.5, 0.6827, 0.9, 0.95, 0.99, 1 - 1e-12, math.nextafter(1, 0)]
)
def test_the_quantile_holds_the_confidence(confidence):
    """``P(|Z| > z) = 1 - confidence``, by the complementary error function; 1e-9 of it, or of the
    confidence where that is small.
    """
    z = normal_quantile(confidence)
    assert math.erfc(z / math.sqrt(2)) == pytest.approx(2 * tail(confidence), rel=1e-9)
    assert math.erf(z / math.sqrt(2)) == pytest.approx(confidence, rel=1e-3)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95, math.nan, math.inf, True, "0.95", None])
def test_a_confidence_lies_between_0_and_1(confidence):
    with pytest.raises(BadValueError, match=r"confidence is .*between 0 and 1"):
        normal_quantile(confidence)


@pytest.mark.parametrize(
    ("value", "low", "high", "n"),
    [
        (0.5, 0.6, 0.4, 3),
        (0.5, math.nan, 1, 3),
        (0.5, 0, math.nan, 3),
        (math.nan, 0, 1, 3),
        (0.5, 0, 1, 0),
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(value, low, high, n):
    with pytest.raises(BadValueError, match="makes no sense"):
        Rate(value=value, low=low, high=high, n=n)


def test_a_rate_is_frozen_and_named():
    rate = Rate(value=0.5, low=0.4, high=0.6, n=9)
    with pytest.raises(dataclasses.FrozenInstanceError):
        rate.value = 0.0
    with pytest.raises(TypeError):
        Rate(0.5, 0.4, 0.6, 9)
