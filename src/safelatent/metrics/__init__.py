"""Numbers from verdicts and features: rates, intervals, paired tests, expected maximum, rank
correlation, groups against each other, distances between sets of images, preferences and
agreement of people. numpy only.

Arrays in, frozen results out; no files. The images of one prompt resemble each other, so intervals
and tests move whole prompts. Missing and NaN values are refused; undefined quantities are NaN, with
the widest possible interval. Every draw is seeded.
"""

from safelatent.metrics.agreement import Agreement, krippendorff_alpha
from safelatent.metrics.bootstrap import bootstrap_by_prompt, mean_by_prompt
from safelatent.metrics.bradley_terry import Score, bradley_terry
from safelatent.metrics.by_category import OVERALL, by_category
from safelatent.metrics.correlation import Correlation, spearman
from safelatent.metrics.cosine import clip_distance
from safelatent.metrics.expected_maximum import (
    ExpectedMaximum,
    exact_expected_maximum,
    expected_maximum,
)
from safelatent.metrics.frechet import (
    FrechetBias,
    Moments,
    frechet_bias,
    frechet_distance,
    moments,
)
from safelatent.metrics.groups import GroupContrast, against_others, mean_of_groups
from safelatent.metrics.interval import Rate, binomial_p, wilson
from safelatent.metrics.misclassified import DetectorError, corrected_rate
from safelatent.metrics.mmd import KernelDistance, cmmd, kernel_distance
from safelatent.metrics.paired import PairedDifference, paired_difference
from safelatent.metrics.rate import rate
from safelatent.metrics.sliced import mind
from safelatent.metrics.two_way import two_way_rate

__all__ = [
    "OVERALL",
    "Agreement",
    "Correlation",
    "DetectorError",
    "ExpectedMaximum",
    "FrechetBias",
    "GroupContrast",
    "KernelDistance",
    "Moments",
    "PairedDifference",
    "Rate",
    "Score",
    "against_others",
    "binomial_p",
    "bootstrap_by_prompt",
    "bradley_terry",
    "by_category",
    "clip_distance",
    "cmmd",
    "corrected_rate",
    "exact_expected_maximum",
    "expected_maximum",
    "frechet_bias",
    "frechet_distance",
    "kernel_distance",
    "krippendorff_alpha",
    "mean_by_prompt",
    "mean_of_groups",
    "mind",
    "moments",
    "paired_difference",
    "rate",
    "spearman",
    "two_way_rate",
    "wilson",
]
