"""The Fréchet distance against its closed forms and the slow definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from safelatent.errors import BadValueError
from safelatent.metrics import Moments, frechet_bias, frechet_distance, moments


def features(seed: int, n: int = 40, d: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def test_moments_are_those_of_numpy():
    rows = features(0)
    found = moments(rows)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0))
    np.testing.assert_allclose(found.covariance, np.cov(rows, rowvar=False))
    assert found.n == 40


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_definition_with_a_matrix_square_root(a, b):
    one, other = moments(features(a)), moments(features(b))
    apart = one.mean - other.mean
    slow = apart @ apart + np.trace(
        one.covariance + other.covariance - 2 * sqrtm(one.covariance @ other.covariance).real
    )
    assert frechet_distance(one, other) == pytest.approx(slow, rel=1e-6, abs=1e-6)
    assert frechet_distance(one, other) == pytest.approx(
        frechet_distance(other, one), rel=1e-9, abs=1e-9
    )


def test_torchmetrics_has_the_same():
    peer = pytest.importorskip("torchmetrics.image.fid")
    one, other = moments(features(5, n=90, d=24)), moments(features(6, n=70, d=24))
    values = (one.mean, one.covariance, other.mean, other.covariance)
    theirs = float(peer._compute_fid(*(torch.from_numpy(value) for value in values)))
    assert frechet_distance(one, other) == pytest.approx(theirs, rel=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_turning_all_features_changes_nothing(seed):
    one, other = features(seed), features(seed + 1)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(5, 5)))
    assert frechet_distance(moments(one @ turn), moments(other @ turn)) == pytest.approx(
        frechet_distance(moments(one), moments(other)), rel=1e-8, abs=1e-8
    )


def test_one_dimension_is_the_distance_of_means_and_of_deviations():
    one, other = (
        Moments(mean=np.array([m]), covariance=np.array([[s**2]]), n=9)
        for m, s in ((1.0, 2.0), (4.0, 7.0))
    )
    assert frechet_distance(one, other) == pytest.approx((4 - 1) ** 2 + (7 - 2) ** 2)


def test_a_shift_counts_by_its_square():
    rows = features(3)
    assert frechet_distance(moments(rows), moments(rows + 2)) == pytest.approx(4 * rows.shape[1])


def test_fewer_pictures_than_features_have_a_distance_too():
    rows = features(1, n=3)
    assert frechet_distance(moments(rows), moments(rows)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("bad", [np.zeros(4), np.zeros((1, 4)), np.full((3, 2), np.nan)])
def test_what_has_no_moments_is_refused(bad):
    with pytest.raises(BadValueError, match=r"give numbers \(N, D\)|NaN"):
        moments(bad)


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(BadValueError, match="5 and 4 values per image"):
        frechet_distance(moments(features(0)), moments(features(0, d=4)))
    with pytest.raises(BadValueError, match=r"\(2,\) and \(3, 3\)"):
        Moments(mean=np.zeros(2), covariance=np.eye(3), n=2)


@pytest.mark.parametrize("covariance", [-np.eye(2), np.array([[1.0, 0.5], [0.0, 1.0]])])
def test_what_is_no_covariance_is_refused(covariance):
    with pytest.raises(BadValueError, match="not symmetric, or a variance is negative"):
        Moments(mean=np.zeros(2), covariance=covariance, n=9)


def test_half_precision_leaves_a_covariance():
    exact = moments(features(0)).covariance
    half = exact.astype(np.float16).astype(np.float64)
    half[0, 1] *= 1 + 2**-11
    Moments(mean=np.zeros(len(half)), covariance=half, n=9)


def normal(*, n: int, d: int = 8, scale: float = 0.7, seed: int = 0) -> np.ndarray:
    """Rows of a normal distribution whose distance from the standard one is known."""
    return np.random.default_rng(seed).normal(0.2, scale, size=(n, d))


STANDARD = Moments(mean=np.zeros(8), covariance=np.eye(8), n=10**6)
TRUTH = 8 * (0.2**2 + 0.3**2)


def test_the_bias_at_n_is_what_the_closed_form_says():
    found = [frechet_bias(normal(n=64, seed=seed), STANDARD, seed=seed) for seed in range(60)]
    truth = np.mean([each.value for each in found]) - TRUTH
    spread = np.std([each.bias for each in found]) / np.sqrt(len(found))
    assert truth > 4 * spread, "the bias is there, and seen"
    assert np.mean([each.bias for each in found]) == pytest.approx(truth, abs=4 * spread)


def test_the_bias_falls_as_one_over_n():
    few, many = (
        np.mean([frechet_bias(normal(n=n, seed=s), STANDARD, seed=s).bias for s in range(30)])
        for n in (80, 320)
    )
    assert few / many == pytest.approx(4, rel=0.25)


def test_with_fewer_images_than_features_the_bias_is_a_lower_bound():
    wide = Moments(mean=np.zeros(32), covariance=np.eye(32), n=10**6)
    found = [frechet_bias(normal(n=12, d=32, seed=s), wide, seed=s) for s in range(20)]
    assert all(each.lower_bound and each.crude for each in found)
    assert all(0 < each.bias < 0.6 * (each.value - 4 * TRUTH) for each in found)


def test_the_bias_stands_beside_the_distance_itself():
    rows = normal(n=100)
    found = frechet_bias(rows, STANDARD)
    assert found.value == pytest.approx(frechet_distance(moments(rows), STANDARD), rel=1e-12)
    assert (found.n, found.width, found.crude) == (100, 8, False)
    assert frechet_bias(rows[:63], STANDARD).crude
    assert not frechet_bias(rows[:8], STANDARD).lower_bound
    assert found == frechet_bias(rows, STANDARD)


def test_unbiased_is_the_intercept_of_the_line_through_the_parts():
    """Of the least-squares line in 1 / size, written out; the value itself is not on it."""
    rows = normal(n=96)
    order = np.random.default_rng(5).permutation(96)
    y = np.array(
        [
            np.mean([frechet_distance(moments(rows[p]), STANDARD) for p in order.reshape(k, -1)])
            for k in (1, 2, 3, 4)
        ]
    )
    x = np.array([1, 2, 3, 4]) / 96
    slope = np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2)
    intercept = y.mean() - slope * x.mean()
    assert abs(y[0] - slope * x[0] - intercept) > 1e-4
    found = frechet_bias(rows, STANDARD, seed=5)
    assert found.unbiased == pytest.approx(intercept, rel=1e-9)
    assert found.bias == pytest.approx(y[0] - intercept, rel=1e-9)


def test_too_few_images_have_no_bias_to_estimate():
    with pytest.raises(BadValueError, match="at least 8"):
        frechet_bias(normal(n=7), STANDARD)
    with pytest.raises(BadValueError, match="4 and 8 values per image"):
        frechet_bias(normal(n=9, d=4), STANDARD)
    with pytest.raises(BadValueError, match="seed"):
        frechet_bias(normal(n=9), STANDARD, seed=-1)
