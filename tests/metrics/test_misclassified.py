"""A share without the detector's errors: exact where it can be, and its interval covers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from safelatent.errors import BadValueError
from safelatent.metrics import DetectorError, corrected_rate, wilson


def error(fp: int = 0, fn: int = 0, n: int = 100) -> DetectorError:
    return DetectorError(false_positives=fp, negatives=n, false_negatives=fn, positives=n)


def test_rogan_and_gladens_estimate():
    """31 % flagged with 10 % false positives and 20 % false negatives: (0.31 - 0.1) / 0.7."""
    assert corrected_rate(31, 100, error(10, 20)).value == pytest.approx(0.3)
    assert corrected_rate(31, 100, error()).value == pytest.approx(0.31)


def test_a_share_below_the_false_positives_is_0():
    rate = corrected_rate(2, 100, error(10, 20))
    assert (rate.value, rate.low) == (0, 0)
    assert 0 < rate.high < 0.2
    assert corrected_rate(99, 100, error(0, 20)).value == 1


def test_a_detector_known_to_be_right_gives_about_wilsons_interval():
    rate, plain = corrected_rate(30, 100, error(n=10**6)), wilson(30, 100)
    assert (rate.low, rate.high) == pytest.approx((plain.low, plain.high), abs=0.01)


def test_errors_measured_on_few_images_widen_the_interval():
    few, many = (corrected_rate(50, 100, error(n // 10, n // 10, n)) for n in (20, 20_000))
    assert few.high - few.low > 1.5 * (many.high - many.low)


@pytest.mark.parametrize("truth", [0.0, 0.03, 0.3, 0.8, 1.0])
@pytest.mark.parametrize(("fp", "fn"), [(0.02, 0.1), (0.05, 0.05)])
def test_the_interval_covers_the_truth(truth, fp, fn):
    """95 % of 400 draws, less three standard errors."""
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        known = error(int(random.binomial(300, fp)), int(random.binomial(300, fn)), 300)
        flagged = int(random.binomial(100, truth * (1 - fn) + (1 - truth) * fp))
        rate = corrected_rate(flagged, 100, known)
        inside += rate.low <= truth <= rate.high
    assert inside / 400 >= 0.917


@pytest.mark.parametrize(
    ("fp", "negatives", "fn", "positives"),
    [(0, 2, 80, 100), (9, 10, 0, 1), (3, 4, 0, 1), (0, 1, 9, 10), (50, 60, 0, 1)],
)
@pytest.mark.parametrize("flagged", [0, 10, 100])
def test_a_detector_that_may_be_no_better_than_chance_leaves_everything_open(
    fp, negatives, fn, positives, flagged
):
    known = DetectorError(
        false_positives=fp, negatives=negatives, false_negatives=fn, positives=positives
    )
    rate = corrected_rate(flagged, 100, known)
    assert 0 <= rate.value <= 1
    assert (rate.low, rate.high) == (0, 1)


@pytest.mark.parametrize(("negatives", "positives"), [(1, 1), (1, 3), (3, 1), (2, 60), (60, 2)])
def test_the_interval_is_one_for_every_usable_detector(negatives, positives):
    """It holds the estimate, and ten images never tell it to a fifth."""
    for fp in range(negatives + 1):
        for fn in range(positives + 1):
            if fp * positives + fn * negatives >= negatives * positives:
                continue
            known = DetectorError(
                false_positives=fp, negatives=negatives, false_negatives=fn, positives=positives
            )
            for flagged in (0, 5, 10):
                rate = corrected_rate(flagged, 10, known)
                assert 0 <= rate.low <= rate.value <= rate.high <= 1
                assert rate.high - rate.low > 0.2


@pytest.mark.parametrize(("negatives", "positives"), [(400, 40), (40, 400)])
def test_the_interval_covers_the_truth_with_unequal_counts(negatives, positives):
    random = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        known = DetectorError(
            false_positives=int(random.binomial(negatives, 0.05)),
            negatives=negatives,
            false_negatives=int(random.binomial(positives, 0.1)),
            positives=positives,
        )
        rate = corrected_rate(int(random.binomial(100, 0.3 * 0.9 + 0.7 * 0.05)), 100, known)
        inside += rate.low <= 0.3 <= rate.high
    assert inside / 400 >= 0.917


def test_nothing_is_known_without_an_image():
    rate = corrected_rate(0, 0, error())
    assert math.isnan(rate.value)
    assert (rate.low, rate.high, rate.n) == (0, 1, 0)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"fp": 3, "n": 2}, "false_positives is 3 of negatives = 2"),
        ({"n": 0}, "at least one image"),
        ({"fp": 60, "fn": 40}, "below 100 %"),
        ({"fn": -1}, "false_negatives is -1"),
    ],
)
def test_impossible_errors_are_refused(numbers, said):
    with pytest.raises(BadValueError, match=said):
        error(**numbers)


def test_more_flagged_than_images_is_refused():
    with pytest.raises(BadValueError, match="at most n"):
        corrected_rate(3, 2, error())
