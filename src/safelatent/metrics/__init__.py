"""Numbers from verdicts and features: rates, intervals, paired tests, expected maximum, rank
correlation, groups against each other, distances between sets of images. numpy only.

Arrays in, frozen results out; no files. The images of one prompt resemble each other, so intervals
and tests move whole prompts. Missing and NaN values are refused; undefined quantities are NaN, with
the widest possible interval. Every draw is seeded.
"""

from safelatent.metrics.bootstrap import bootstrap_by_prompt, mean_by_prompt
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
from safelatent.metrics.interval import Rate, wilson
from safelatent.metrics.misclassified import DetectorError, corrected_rate
from safelatent.metrics.mmd import KernelDistance, cmmd, kernel_distance
from safelatent.metrics.paired import PairedDifference, paired_difference
from safelatent.metrics.rate import rate
from safelatent.metrics.sliced import mind

__all__ = [
    "OVERALL",
    "Correlation",
    "DetectorError",
    "ExpectedMaximum",
    "FrechetBias",
    "GroupContrast",
    "KernelDistance",
    "Moments",
    "PairedDifference",
    "Rate",
    "against_others",
    "bootstrap_by_prompt",
    "by_category",
    "clip_distance",
    "cmmd",
    "corrected_rate",
    "exact_expected_maximum",
    "expected_maximum",
    "frechet_bias",
    "frechet_distance",
    "kernel_distance",
    "mean_by_prompt",
    "mean_of_groups",
    "mind",
    "moments",
    "paired_difference",
    "rate",
    "spearman",
    "wilson",
]
