"""The Fréchet distance against its closed forms and the slow definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from safelatent.errors import BadValueError
from safelatent.metrics import Moments, frechet_distance, moments


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
    with pytest.raises(BadValueError, match=r"give \(N, D\)|finite"):
        moments(bad)


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(BadValueError, match="5 and 4 values per image"):
        frechet_distance(moments(features(0)), moments(features(0, d=4)))
    with pytest.raises(BadValueError, match=r"\(2,\) and \(3, 3\)"):
        Moments(mean=np.zeros(2), covariance=np.eye(3), n=2)
