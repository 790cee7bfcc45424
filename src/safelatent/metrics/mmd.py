"""How far apart two sets of images are, by the maximum mean discrepancy (MMD) of their features:
KID with a cubic kernel, and CMMD with a Gaussian one.

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y)

A. Gretton et al., A kernel two-sample test, JMLR 13 (2012): its unbiased (Eq. 3) and biased (Eq. 5)
estimates. Kernels are computed in blocks of rows, so that memory does not grow with N^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safelatent.metrics.bootstrap import Prompts, blocks, prompt_index
from safelatent.metrics.checks import Floats, check_same_length, feature_pair, unit_rows

Kernel = Callable[[Floats, Floats], Floats]

_SIGMA = 10.0  # bandwidth of CMMD's kernel
_SCALE = 1000.0  # CMMD is reported in thousandths


@dataclass(frozen=True, kw_only=True)
class KernelDistance:
    """A kernel distance with its standard error.

    Attributes:
        value: the unbiased estimate; it is often below 0 for two sets from the same source.
        standard_error: by the jackknife; NaN if leaving out a prompt, or an image of the second
            set, leaves fewer than two images.
        n: number of images of the first set.
    """

    value: float
    standard_error: float
    n: int


def kernel_distance(
    a: ArrayLike, b: ArrayLike, *, prompts: Prompts | None = None
) -> KernelDistance:
    """Return KID: the unbiased MMD^2 with the kernel ``(x . y / D + 1)^3``, over all pairs.

    M. Binkowski et al., Demystifying MMD GANs, ICLR 2018. Unlike the Fréchet distance it has no
    bias from few images. Published values are often means over random subsets of 1,000 images,
    which estimate the same quantity; the spread printed with them is that of 1,000 images, not a
    standard error. Here the standard error is the jackknife's: each image of ``b`` and each image,
    or all images of each prompt, of ``a`` is left out in turn. It is about half as large
    again as it should be if both sets come from the same source.

    Args:
        a: features of one set, (N, D).
        b: features of the other, (M, D), for example of real images.
        prompts: prompt of each image of ``a``, (N,), if there are several images per prompt.

    Raises:
        BadValueError: a set has fewer than two rows, the widths differ, a value is not finite, or
            there is not one prompt per row.
    """
    one, other = feature_pair(a, b)
    if prompts is not None:
        check_same_length(a=one, prompts=prompts)
    group = np.arange(len(one)) if prompts is None else prompt_index(prompts)
    left, right = _pairs(one, group), _pairs(other, np.arange(len(other)))
    across_one, across_other = _sums(one, other, _cubic)
    across = float(across_one.sum())
    value = _unbiased(left.total, left.n, right.total, right.n, across)
    without_prompts = _unbiased(
        left.others,
        left.n - left.sizes,
        right.total,
        right.n,
        across - np.bincount(group, weights=across_one),
    )
    without_images = _unbiased(left.total, left.n, right.others, right.n - 1, across - across_other)
    variance = _jackknife(without_prompts) + _jackknife(without_images)
    return KernelDistance(value=float(value), standard_error=math.sqrt(variance), n=left.n)


def cmmd(a: ArrayLike, b: ArrayLike) -> float:
    """Return CMMD: 1000 times the biased MMD^2 of CLIP embeddings, scaled to length 1, with the
    kernel ``exp(-|x - y|^2 / (2 * 10^2))``.

    S. Jayasumana et al., Rethinking FID: Towards a better evaluation metric for image generation,
    CVPR 2024. The paper prints the unbiased estimate; its code uses the biased one, as here. Its
    embeddings are those of CLIP ViT-L/14 at 336 pixels; values
    from another CLIP are not comparable.

    Args:
        a: image embeddings of one set, (N, D), of any length but 0.
        b: image embeddings of the other, (M, D).

    Raises:
        BadValueError: a set has fewer than two rows, the widths differ, a value is not finite, or
            an embedding is 0.
    """
    one, other = feature_pair(a, b)
    x, y = unit_rows("the first set", one), unit_rows("the second set", other)
    xx, yy, xy = (
        float(_sums(first, second, _gaussian)[0].sum()) / (len(first) * len(second))
        for first, second in ((x, x), (y, y), (x, y))
    )
    return _SCALE * max(0.0, xx + yy - 2 * xy)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pairs:
    """Sums of the cubic kernel over the pairs of different images of one set.

    Attributes:
        total: over all pairs, each in both orders.
        others: over the pairs that are left without each group, (G,).
        sizes: number of images of each group, (G,).
        n: number of images.
    """

    total: float
    others: Floats
    sizes: NDArray[np.intp]
    n: int


def _pairs(rows: Floats, group: NDArray[np.intp]) -> _Pairs:
    sizes = np.bincount(group)
    of_image = _sums(rows, rows, _cubic)[0] - _cubic_of_itself(rows)
    of_group = np.bincount(group, weights=of_image)
    inside = np.zeros(len(sizes))
    order = np.split(np.argsort(group, kind="stable"), np.cumsum(sizes)[:-1])
    for place in np.flatnonzero(sizes > 1):
        own = rows[order[place]]
        inside[place] = _cubic(own, own).sum() - _cubic_of_itself(own).sum()
    total = float(of_image.sum())
    # A pair inside a group is in the sum of both of its images, and must be taken off once.
    return _Pairs(total=total, others=total - 2 * of_group + inside, sizes=sizes, n=len(rows))


def _sums(x: Floats, y: Floats, kernel: Kernel) -> tuple[Floats, Floats]:
    """Return the sums of ``kernel`` over ``y`` for each row of ``x``, and the reverse."""
    of_x, of_y, start = np.empty(len(x)), np.zeros(len(y)), 0
    for size in blocks(len(x), width=len(y)):
        values = kernel(x[start : start + size], y)
        of_x[start : start + size] = values.sum(axis=1)
        of_y += values.sum(axis=0)
        start += size
    return of_x, of_y


def _cubic(x: Floats, y: Floats) -> Floats:
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # several times faster than a power


def _cubic_of_itself(x: Floats) -> Floats:
    return ((x * x).sum(axis=1) / x.shape[1] + 1) ** 3


def _gaussian(x: Floats, y: Floats) -> Floats:
    """Kernel of rows of length 1, whose squared distance is ``2 - 2 x . y``."""
    return np.exp((x @ y.T - 1) / _SIGMA**2)


def _unbiased(
    pairs: ArrayLike, n: ArrayLike, other_pairs: ArrayLike, m: ArrayLike, across: ArrayLike
) -> Floats:
    """Gretton et al., Eq. 3; NaN where a set has fewer than two images."""
    n, m = np.asarray(n, dtype=np.float64), np.asarray(m, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (
            np.asarray(pairs) / (n * (n - 1))
            + np.asarray(other_pairs) / (m * (m - 1))
            - 2 * np.asarray(across) / (n * m)
        )
    return np.where((n > 1) & (m > 1), value, math.nan)


def _jackknife(without: Floats) -> float:
    """Return the variance from the values without each part; NaN if a value is."""
    return float((len(without) - 1) * np.var(without))
