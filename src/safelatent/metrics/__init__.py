"""Numbers from verdicts: rates, expected maximum, intervals, paired differences, rank correlation.
numpy only.

Arrays in, frozen results out; no files. The images of one prompt resemble each other, so intervals
and tests move whole prompts. A missing or NaN value is refused, and what cannot be known is NaN
with the widest interval that it may have. Every draw is seeded.
"""

from safelatent.metrics.bootstrap import bootstrap_by_prompt
from safelatent.metrics.by_category import OVERALL, by_category
from safelatent.metrics.clusters import mean_by_prompt
from safelatent.metrics.correlation import Correlation, spearman
from safelatent.metrics.expected_maximum import (
    ExpectedMaximum,
    exact_expected_maximum,
    expected_maximum,
)
from safelatent.metrics.frechet import Moments, frechet_distance, moments
from safelatent.metrics.interval import Rate
from safelatent.metrics.paired import PairedDifference, paired_difference
from safelatent.metrics.rate import rate
from safelatent.metrics.wilson import wilson

__all__ = [
    "OVERALL",
    "Correlation",
    "ExpectedMaximum",
    "Moments",
    "PairedDifference",
    "Rate",
    "bootstrap_by_prompt",
    "by_category",
    "exact_expected_maximum",
    "expected_maximum",
    "frechet_distance",
    "mean_by_prompt",
    "moments",
    "paired_difference",
    "rate",
    "spearman",
    "wilson",
]
