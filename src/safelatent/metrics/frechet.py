"""How far apart two sets of images are as a whole: the Fréchet distance of the normal distributions
fitted to their features.

D. C. Dowson and B. V. Landau, The Fréchet distance between multivariate normal distributions, J.
Multivariate Analysis 12 (1982); for images M. Heusel et al., GANs trained by a two time-scale
update rule, NeurIPS 2017. The estimate from few images is too large by about a constant over their
number, which ``frechet_bias`` extrapolates: M. J. Chong and D. Forsyth, Effectively unbiased FID
and Inception Score, CVPR 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from safelatent.errors import BadValueError
from safelatent.metrics.checks import Floats, check_same_width, whole
from safelatent.metrics.checks import features as rows_of

_PARTS = (1, 2, 3, 4)  # into how many the images are divided for the line in 1 / n
_LINEAR_FROM = 8  # images per feature
_UNEVEN = 1e-3  # of the largest variance, by which half precision may make a covariance asymmetric


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Mean (D,) and covariance (D, D) of the features of ``n`` images.

    Raises:
        BadValueError: the shapes do not fit, a value is not finite, or the second is no covariance.
    """

    mean: Floats
    covariance: Floats
    n: int

    def __post_init__(self) -> None:
        d = len(self.mean) if self.mean.ndim == 1 else -1
        if self.covariance.shape != (d, d):
            raise BadValueError(
                f"mean and covariance have the shapes {self.mean.shape} and"
                f" {self.covariance.shape}; give (D,) and (D, D)"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise BadValueError(
                "mean or covariance holds NaN or infinity; fit them to finite features"
            )
        variances = np.diagonal(self.covariance)
        uneven = np.abs(self.covariance - self.covariance.T).max(initial=0)
        if variances.min(initial=0) < 0 or uneven > _UNEVEN * variances.max(initial=0):
            raise BadValueError(
                "the covariance is not symmetric, or a variance is negative; fit it to features"
            )


def moments(features: ArrayLike) -> Moments:
    """Fit mean and covariance to features (N, D), one row per image and at least two rows.

    Raises:
        BadValueError: the shape is another, there are fewer rows, or a value is not finite.
    """
    return _moments(rows_of("features", features))


def _moments(rows: Floats) -> Moments:
    centred = rows - rows.mean(axis=0)
    return Moments(
        mean=rows.mean(axis=0), covariance=centred.T @ centred / (len(rows) - 1), n=len(rows)
    )


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return ``|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))``: squared, as it is always
    reported, and 0 for equal moments.

    Raises:
        BadValueError: the features differ in width.
    """
    check_same_width(len(a.mean), len(b.mean))
    # C_a C_b and the symmetric A C_b A with A = C_a^(1/2) have the same eigenvalues, and those of
    # the latter are real.
    root = _square_root(a.covariance)
    shared = np.linalg.eigvalsh(root @ b.covariance @ root)
    cross = float(np.sqrt(np.clip(shared, 0, None)).sum())
    apart = a.mean - b.mean
    return max(
        0.0, float(apart @ apart + np.trace(a.covariance) + np.trace(b.covariance)) - 2 * cross
    )


@dataclass(frozen=True, kw_only=True)
class FrechetBias:
    """The distance of ``n`` images and what it would be with infinitely many.

    Attributes:
        value: the distance as it is reported.
        unbiased: intercept of the line in 1 / n, which the noise of few images can take below 0.
        bias: ``value - unbiased``.
        n: number of images.
        width: number of features.
    """

    value: float
    unbiased: float
    n: int
    width: int

    @property
    def bias(self) -> float:
        """Estimated excess of the value."""
        return self.value - self.unbiased

    @property
    def crude(self) -> bool:
        """Whether there are fewer than eight images per feature: the distance is not yet a line in
        1 / n, and for normal features the estimate was 0.6 to 1.6 times the true bias.
        """
        return self.n < _LINEAR_FROM * self.width

    @property
    def lower_bound(self) -> bool:
        """Whether there are fewer images than features: the covariance has no full rank, and for
        normal features the estimate was 0.2 to 0.6 times the true bias.
        """
        return self.n < self.width


def frechet_bias(features: ArrayLike, reference: Moments, *, seed: int = 0) -> FrechetBias:
    """Return the distance of ``features`` (N, D) from ``reference``, with its bias at this N.

    The images are shuffled and divided into one to four disjoint parts of equal size; a line in
    1 / size is fitted to the mean distance of the parts, and its intercept is the distance for
    infinitely many images. The bias that the finite number of images behind ``reference`` adds is
    not included.

    Raises:
        BadValueError: there are fewer than eight rows, the widths differ, or a value is not finite.
    """
    rows = rows_of("features", features, least=2 * max(_PARTS))
    order = np.random.default_rng(whole("seed", seed)).permutation(len(rows))
    means = [
        float(np.mean([frechet_distance(_moments(rows[part]), reference) for part in parts]))
        for parts in (np.array_split(order, k) for k in _PARTS)
    ]
    # Parts of n images divided by k have the size n / k, so the line in 1 / size is one in k.
    intercept = float(np.polyfit(_PARTS, means, 1)[1])
    return FrechetBias(value=means[0], unbiased=intercept, n=len(rows), width=rows.shape[1])


def _square_root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
