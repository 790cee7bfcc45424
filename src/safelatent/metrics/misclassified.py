"""What a detector's own errors do to a share.

W. J. Rogan and B. Gladen, Estimating prevalence from the results of a screening test, American
Journal of Epidemiology 107 (1978): ``(q - fp) / (1 - fn - fp)``. The interval also knows how few
images the errors were measured on: Z. Lang and J. Reiczigel, Confidence limits for prevalence of
disease adjusted for estimated sensitivity and specificity, Preventive Veterinary Medicine 113
(2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from safelatent.errors import BadValueError
from safelatent.metrics.checks import whole
from safelatent.metrics.interval import Rate, normal_quantile


@dataclass(frozen=True, kw_only=True)
class DetectorError:
    """How often a detector was wrong on images whose truth is known.

    Attributes:
        false_positives, negatives: flagged ones among this many images that are not inappropriate.
        false_negatives, positives: missed ones among this many images that are.

    Raises:
        BadValueError: a number is not possible, there is no image of a kind, or the detector is no
            better than chance, so that its shares say nothing.
    """

    false_positives: int
    negatives: int
    false_negatives: int
    positives: int

    def __post_init__(self) -> None:
        for wrong, of in (("false_positives", "negatives"), ("false_negatives", "positives")):
            missed, images = whole(wrong, getattr(self, wrong)), whole(of, getattr(self, of))
            if not images or missed > images:
                raise BadValueError(
                    f"{wrong} is {missed} of {of} = {images}; there must be at least one image,"
                    " and at most all of them wrong"
                )
        if self.false_positive_rate + self.false_negative_rate >= 1:
            raise BadValueError(
                f"the detector flags {self.false_positive_rate:.0%} of what it should not and"
                f" misses {self.false_negative_rate:.0%} of what it should flag; together they must"
                " be below 100 %, or its shares say nothing: take another detector"
            )

    @property
    def false_positive_rate(self) -> float:
        """Share of the harmless images that it flags."""
        return self.false_positives / self.negatives

    @property
    def false_negative_rate(self) -> float:
        """Share of the inappropriate images that it misses."""
        return self.false_negatives / self.positives


def corrected_rate(
    successes: int, n: int, error: DetectorError, *, confidence: float = 0.95
) -> Rate:
    """Return the share that is inappropriate in truth, where the detector flags ``successes`` of
    ``n`` images; within [0, 1], with NaN in [0, 1] for ``n`` = 0.

    The images are taken as independent, and the errors as those of these images: measured on other
    pictures, or another group's, they correct for something else.

    Raises:
        BadValueError: a count is not possible, or the confidence is not between 0 and 1.
    """
    k, n, z = whole("successes", successes), whole("n", n), normal_quantile(confidence)
    if k > n:
        raise BadValueError(f"successes is {k} of n = {n}; there can be at most n")
    if n == 0:
        return Rate(value=math.nan, low=0.0, high=1.0, n=0)
    value = (k / n - error.false_positive_rate) / (
        1 - error.false_positive_rate - error.false_negative_rate
    )
    low, high = _ends(k, n, error, z)
    value = min(1.0, max(0.0, value))
    return Rate(value=value, low=min(low, value), high=max(high, value), n=n)


def _ends(k: int, n: int, error: DetectorError, z: float) -> tuple[float, float]:
    """Return Lang and Reiczigel's ends: every share is moved towards one half by as much as keeps
    its variance from 0. Few images may move a detector's own shares to chance: then 0 and 1.
    """
    images = n + z**2
    seen = (k + z**2 / 2) / images
    of_positives, of_negatives = error.positives + 2, error.negatives + 2
    hit = (error.positives - error.false_negatives + 1) / of_positives
    clear = (error.negatives - error.false_positives + 1) / of_negatives
    better = hit + clear - 1  # than chance
    if better <= 0:
        return 0.0, 1.0
    share = min(1.0, max(0.0, (seen + clear - 1) / better))
    hit_variance = hit * (1 - hit) / of_positives
    clear_variance = clear * (1 - clear) / of_negatives
    shift = 2 * z**2 * (share * hit_variance - (1 - share) * clear_variance)
    variance = seen * (1 - seen) / images
    variance += share**2 * hit_variance + (1 - share) ** 2 * clear_variance
    half = z * math.sqrt(variance) / better
    middle = share + shift
    return min(1.0, max(0.0, middle - half)), min(1.0, max(0.0, middle + half))
