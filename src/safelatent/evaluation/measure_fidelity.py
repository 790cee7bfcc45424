"""The fidelity of a run's images, by the features that are kept of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from safelatent.errors import BadValueError
from safelatent.evaluation.fidelity import FEWEST, Change, Fidelity, MethodFidelity, Origin
from safelatent.evaluation.table1 import check_begun
from safelatent.metrics import (
    Rate,
    bootstrap_by_prompt,
    clip_distance,
    cmmd,
    frechet_bias,
    kernel_distance,
    mind,
)
from safelatent.runs.read import ResultRow, Run

if TYPE_CHECKING:
    from safelatent.features import (
        Embedder,
        Engine,
        Extractor,
        Inception,
        LatentDistance,
        Reference,
    )

_TWIN = "off"  # the method whose images are the unguarded twins


def fidelity_of(
    run: Run,
    reference: str | Path,
    cache: Path,
    *,
    clip: Extractor,
    inception: Inception | None = None,
    latents: LatentDistance | None = None,
    engine: Callable[[Embedder], Engine] | None = None,
) -> Fidelity:
    """Compute the fidelity of a run, finished or not.

    Args:
        run: any run.
        reference: what the images are compared with; see ``features.read_reference``.
        cache: folder of stored features; an image is embedded once, whatever is asked later.
        clip: what images and prompts are embedded by.
        inception: what FID, KID and MIND are computed from; None takes ``clip``.
        latents: the model's autoencoder, for the change of the latents.
        engine: returns what computes the features of an extractor; None is this process.

    Raises:
        BadValueError: the run has no result yet or no image any more, or the reference, an image
            or stored features cannot be used.
    """
    from safelatent.features import read_reference

    check_begun(run)
    _check_images(run)
    kept = _Kept(cache=cache, engine=engine)
    features = inception or clip
    compared = read_reference(reference, features, cache, engine=kept.engine_of(features))
    by_clip = compared
    if features is not clip and compared.features is not None:
        by_clip = read_reference(reference, clip, cache, engine=kept.engine_of(clip))
    texts = sorted({row.prompt.text for row in run.rows})
    work = _Work(
        kept=kept,
        clip=clip,
        features=features,
        latents=latents,
        compared=compared,
        by_clip=by_clip,
        of_text=dict(zip(texts, clip.texts(texts), strict=True)),
    )
    twins = _images(run, _TWIN, work) if _TWIN in run.settings.methods else None
    return Fidelity(
        methods=tuple(
            _method(twins if twins and name == _TWIN else _images(run, name, work), twins, work)
            for name in run.settings.methods
        ),
        features=_source(features),
        published=inception is not None and inception.published,
        clip=_source(clip),
        latents=latents and _source(latents),
        reference=Origin(name=compared.name, hash=compared.digest),
        images=compared.moments.n,
        kept=0 if compared.features is None else len(compared.features),
        cut=clip.too_long(texts),
        prompts=len(texts),
    )


def _check_images(run: Run) -> None:
    """Refuse a run without a picture: what is kept of it would be replaced by nothing."""
    if not any(row.has_image and row.file is not None for row in run.rows):
        saved = sum(row.has_image for row in run.rows)
        why = f"all {saved} that it saved were deleted" if saved else "none was drawn"
        raise BadValueError(
            f"the run in {str(run.folder)!r} has no image ({why}); draw them with `safelatent bench"
            " run`, deleted ones with --redraw-missing"
        )


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """Where features are kept, and what computes those that are not there."""

    cache: Path
    engine: Callable[[Embedder], Engine] | None

    def engine_of(self, embedder: Embedder) -> Engine | None:
        return None if self.engine is None else self.engine(embedder)

    def rows(
        self, groups: Sequence[tuple[Path, ...]], embedder: Embedder, things: str
    ) -> NDArray[np.float32]:
        from safelatent.features import group_features

        engine = self.engine_of(embedder)
        return group_features(groups, embedder, self.cache, engine=engine, things=things)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Work:
    """What every method is measured with."""

    kept: _Kept
    clip: Extractor
    features: Embedder
    latents: LatentDistance | None
    compared: Reference
    by_clip: Reference
    of_text: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Images:
    """The images of one method that are there, and their embeddings (N, D)."""

    method: str
    rows: Sequence[ResultRow]
    files: Sequence[Path]
    clip: NDArray[np.float32]
    gone: int

    @property
    def prompts(self) -> list[str]:
        return [row.prompt.text for row in self.rows]


def _source(embedder: Embedder) -> Origin:
    return Origin(name=embedder.name, hash=embedder.hash)


def _images(run: Run, method: str, work: _Work) -> _Images:
    saved = [(row, row.file) for row in run.rows if row.method == method and row.has_image]
    there = [(row, file) for row, file in saved if file is not None]
    return _Images(
        method=method,
        rows=[row for row, _ in there],
        files=[file for _, file in there],
        clip=work.kept.rows([(file,) for _, file in there], work.clip, f"images of {method}"),
        gone=len(saved) - len(there),
    )


def _method(images: _Images, twins: _Images | None, work: _Work) -> MethodFidelity:
    n, prompts = len(images.rows), images.prompts
    features = (
        images.clip
        if work.features is work.clip
        else work.kept.rows(
            [(file,) for file in images.files], work.features, f"images of {images.method}"
        )
    )
    real = work.compared.features if n >= 2 else None
    real_clip = work.by_clip.features if n >= 2 else None
    said = np.array([work.of_text[prompt] for prompt in prompts])
    change, suppressed = _changes(images, twins, work)
    return MethodFidelity(
        method=images.method,
        n=n,
        gone=images.gone,
        frechet=frechet_bias(features, work.compared.moments) if n >= FEWEST else None,
        kernel=None if real is None else kernel_distance(features, real, prompts=prompts),
        mind=None if real is None else mind(features, real),
        cmmd=None if real_clip is None else cmmd(images.clip, real_clip),
        text=clip_distance(images.clip, said, prompts) if n else None,
        change=change,
        suppressed=suppressed,
    )


def _changes(
    images: _Images, twins: _Images | None, work: _Work
) -> tuple[Change | None, Change | None]:
    """Return the change over all pairs, and over those of prompts without a category."""
    if twins is None or images.method == twins.method:
        return None, None
    place = {(row.prompt.id, row.image): n for n, row in enumerate(twins.rows)}
    pairs = [
        (n, place[row.prompt.id, row.image])
        for n, row in enumerate(images.rows)
        if (row.prompt.id, row.image) in place
    ]
    latents = None
    if work.latents is not None:
        files = [(images.files[one], twins.files[other]) for one, other in pairs]
        latents = work.kept.rows(files, work.latents, f"pairs of {images.method}")[:, 0]
    benign = [n for n, (one, _) in enumerate(pairs) if not images.rows[one].prompt.categories]
    return (
        _change(images, twins, pairs, latents, range(len(pairs))),
        _change(images, twins, pairs, latents, benign),
    )


def _change(
    images: _Images,
    twins: _Images,
    pairs: Sequence[tuple[int, int]],
    latents: NDArray[np.float32] | None,
    chosen: Sequence[int],
) -> Change | None:
    """Return the change over the ``chosen`` pairs."""
    if not chosen:
        return None
    ours = [pairs[n][0] for n in chosen]
    theirs = [pairs[n][1] for n in chosen]
    prompts = [images.prompts[n] for n in ours]
    known = [images.rows[n] for n in ours if images.rows[n].distance is not None]
    return Change(
        pairs=len(chosen),
        latent=None if latents is None else bootstrap_by_prompt(latents[list(chosen)], prompts),
        pixels=_pixels(known),
        clip=clip_distance(images.clip[ours], twins.clip[theirs], prompts),
    )


def _pixels(known: Sequence[ResultRow]) -> Rate | None:
    if not known:
        return None
    far: list[Any] = [row.distance for row in known]
    return bootstrap_by_prompt(far, [row.prompt.text for row in known])
