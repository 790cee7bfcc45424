"""How far apart two sets of images are as a whole: the Fréchet distance of the normal distributions
fitted to their features.

D. C. Dowson and B. V. Landau, The Fréchet distance between multivariate normal distributions, J.
Multivariate Analysis 12 (1982); for images M. Heusel et al., GANs trained by a two time-scale
update rule, NeurIPS 2017. The estimate from few images is too large: compare sets of equal size,
and compare with a set of real images of that size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safelatent.errors import BadValueError
from safelatent.metrics.checks import Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Mean (D,) and covariance (D, D) of the features of ``n`` images.

    Raises:
        BadValueError: the shapes do not fit, or a value is not finite.
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


def moments(features: ArrayLike) -> Moments:
    """Fit mean and covariance to features (N, D), one row per image and at least two rows.

    Raises:
        BadValueError: the shape is another, there are fewer rows, or a value is not finite.
    """
    rows: NDArray[np.float64] = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise BadValueError(
            f"features have the shape {rows.shape}; give (N, D), one row per image and at least two"
            " rows"
        )
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
    if a.mean.shape != b.mean.shape:
        raise BadValueError(
            f"the features have {len(a.mean)} and {len(b.mean)} values per image; compute both with"
            " one model"
        )
    # C_a C_b and the symmetric A C_b A with A = C_a^(1/2) have the same eigenvalues, and those of
    # the latter are real.
    root = _square_root(a.covariance)
    shared = np.linalg.eigvalsh(root @ b.covariance @ root)
    cross = float(np.sqrt(np.clip(shared, 0, None)).sum())
    apart = a.mean - b.mean
    return max(
        0.0, float(apart @ apart + np.trace(a.covariance) + np.trace(b.covariance)) - 2 * cross
    )


def _square_root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
