"""What guidance costs in pictures: how far each method's images are from a reference, from their
prompts, and from their unguarded twins.

Schramowski et al., CVPR 2023 (arXiv 2211.05105), Table 2, with the distances that have since been
proposed beside FID.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from safelatent.evaluation.table1 import check_begun
from safelatent.metrics import (
    FrechetBias,
    KernelDistance,
    Rate,
    bootstrap_by_prompt,
    clip_distance,
    cmmd,
    frechet_bias,
    kernel_distance,
    mind,
)
from safelatent.runs.read import Row, Run

if TYPE_CHECKING:
    from safelatent.features import Extractor, Reference

FEWEST = 8  # images from which FID's bias can be extrapolated
_TWIN = "off"  # the method whose images are the unguarded twins


@dataclass(frozen=True, kw_only=True)
class MethodFidelity:
    """The images of one method.

    Attributes:
        method: its name.
        n: number of its images, whatever their label.
        gone: images that the run saved and whose files are gone; in no number.
        frechet: FID and its bias at this ``n``; None for fewer than ``FEWEST`` images.
        kernel, cmmd, mind: distances from the reference; None for fewer than two images, or if only
            the moments of the reference are known.
        text: distance of the images from their prompts, ``clip_distance``; None without images.
        change: root mean square difference to the unguarded twin, in [0, 1]; None for the twins
            themselves, and without pairs.
        change_clip: ``clip_distance`` of the images from their unguarded twins; likewise.
    """

    method: str
    n: int
    gone: int
    frechet: FrechetBias | None
    kernel: KernelDistance | None
    cmmd: float | None
    mind: float | None
    text: Rate | None
    change: Rate | None
    change_clip: Rate | None


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """All methods of a run against one reference.

    Attributes:
        methods: in the run's order.
        features: name and hash of what the features were computed by.
        reference: its name and number of images.
        cut: prompts that are longer than the text tower takes, of ``prompts``.
    """

    methods: tuple[MethodFidelity, ...]
    features: tuple[str, str]
    reference: tuple[str, int]
    cut: int
    prompts: int


def fidelity_of(run: Run, extractor: Extractor, reference: Reference, cache: Path) -> Fidelity:
    """Compute the fidelity of a run, finished or not.

    Args:
        run: any run.
        extractor: what images and prompts are embedded by, and the reference was.
        reference: what the images are compared with.
        cache: folder of stored features; an image is embedded once, whatever is asked later.

    Raises:
        BadValueError: the run has no result yet, an image of it is broken, or stored features are.
    """
    check_begun(run)
    texts = sorted({row.prompt.text for row in run.rows})
    of_text = dict(zip(texts, extractor.texts(texts), strict=True))
    twins = _images(run, _TWIN, extractor, cache) if _TWIN in run.settings.methods else None
    return Fidelity(
        methods=tuple(
            _method(_images(run, method, extractor, cache), twins, of_text, reference)
            for method in run.settings.methods
        ),
        features=(extractor.name, extractor.hash),
        reference=(reference.name, reference.moments.n),
        cut=extractor.too_long(texts),
        prompts=len(texts),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Images:
    """The images of one method that are there, and their features (N, D)."""

    method: str
    rows: Sequence[Row]
    features: NDArray[np.float32]
    gone: int

    @property
    def prompts(self) -> list[str]:
        return [row.prompt.text for row in self.rows]


def _images(run: Run, method: str, extractor: Extractor, cache: Path) -> _Images:
    from safelatent.features import image_features

    saved = [(row, row.file) for row in run.rows if row.method == method and row.has_image]
    there = [(row, file) for row, file in saved if file is not None]
    features = image_features([file for _, file in there], extractor, cache)
    return _Images(
        method=method,
        rows=[row for row, _ in there],
        features=features,
        gone=len(saved) - len(there),
    )


def _method(
    images: _Images,
    twins: _Images | None,
    of_text: Mapping[str, NDArray[np.float32]],
    reference: Reference,
) -> MethodFidelity:
    n, prompts = len(images.rows), images.prompts
    pairs = reference.features if n >= 2 else None
    change, change_clip = (None, None) if twins is None else _changes(images, twins)
    said = np.array([of_text[prompt] for prompt in prompts])
    return MethodFidelity(
        method=images.method,
        n=n,
        gone=images.gone,
        frechet=frechet_bias(images.features, reference.moments) if n >= FEWEST else None,
        kernel=None if pairs is None else kernel_distance(images.features, pairs, prompts=prompts),
        cmmd=None if pairs is None else cmmd(images.features, pairs),
        mind=None if pairs is None else mind(images.features, pairs),
        text=clip_distance(images.features, said, prompts) if n else None,
        change=change,
        change_clip=change_clip,
    )


def _changes(images: _Images, twins: _Images) -> tuple[Rate | None, Rate | None]:
    """Return the change of the pixels and that of the embeddings, over the pairs there are."""
    if images.method == twins.method:
        return None, None
    place = {(row.prompt.id, row.image): n for n, row in enumerate(twins.rows)}
    pairs = [
        (n, place[row.prompt.id, row.image])
        for n, row in enumerate(images.rows)
        if (row.prompt.id, row.image) in place
    ]
    known = [row for row in images.rows if row.distance is not None]
    change = (
        bootstrap_by_prompt(
            [row.distance for row in known if row.distance is not None],
            [row.prompt.text for row in known],
        )
        if known
        else None
    )
    if not pairs:
        return change, None
    ours, theirs = (list(column) for column in zip(*pairs, strict=True))
    prompts = [images.prompts[n] for n in ours]
    return change, clip_distance(images.features[ours], twins.features[theirs], prompts)
