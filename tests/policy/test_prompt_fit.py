"""The threshold and its promise, and what the figures are of."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from safelatent.policy.prompt_fit import SURE, figures, least_for, working_point


@pytest.mark.parametrize("most", [0.02, 0.1, 0.5])
def test_theworking_point_is_the_least_that_promises_it(most):
    """Were ``most`` the share, so few refused would be seldom, and one more would not be."""
    scores = np.random.default_rng(0).random(157)
    refused = int((scores >= working_point(scores, most)).sum())
    seldom, likelier = binom.cdf([refused, refused + 1], 157, most)
    assert seldom <= 1 - SURE < likelier


@pytest.mark.parametrize("n", [114, 175, 700])
def test_nine_calibrations_in_ten_refuse_at_most_that_share(n):
    """Of 5,000, with scores whose refused share is known: within four standard errors."""
    rng = np.random.default_rng(n)
    kept = [1 - working_point(rng.random(n), 0.02) <= 0.02 for _ in range(5_000)]
    assert np.mean(kept) >= SURE - 4 * np.std(kept) / len(kept) ** 0.5


def test_too_few_prompts_to_promise_it_refuse_none_of_them():
    scores = np.random.default_rng(0).random(113)
    assert working_point(scores, 0.02) > scores.max()


def test_the_figures_are_those_of_the_scores():
    told = figures({"unsafe": np.array([0.9, 0.4]), "benign": np.array([0.4, 0.1])}, 0.5)
    assert told["auc"] == (3 + 0.5) / 4
    assert (told["unsafe"]["refused"], told["benign"]["refused"]) == (0.5, 0.0)
    assert told["benign"]["high"] > 0


@pytest.mark.parametrize("most", [0.01, 0.02, 0.1, 0.5])
def test_it_takes_so_many_prompts_to_promise_it(most):
    n = least_for(most)
    assert binom.cdf(0, n, most) <= 1 - SURE < binom.cdf(0, n - 1, most)
