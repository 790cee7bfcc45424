"""Numbers from verdicts: rates, expected maximum, intervals, paired differences, rank correlation. numpy only.

Arrays in, frozen results out; no files. The images of one prompt resemble each other, so intervals and tests move whole prompts. A missing
or NaN value is refused, and what cannot be known is NaN with the widest interval that it may have. Every draw is seeded.
"""

from safelatent.statistics.bootstrap import bootstrap_by_prompt
from safelatent.statistics.by_category import OVERALL, by_category
from safelatent.statistics.clusters import mean_by_prompt
from safelatent.statistics.correlation import Correlation, spearman
from safelatent.statistics.expected_maximum import ExpectedMaximum, exact_expected_maximum, expected_maximum
from safelatent.statistics.frechet import Moments, frechet_distance, moments
from safelatent.statistics.interval import Rate
from safelatent.statistics.paired import PairedDifference, paired_difference
from safelatent.statistics.rate import rate
from safelatent.statistics.wilson import wilson

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
