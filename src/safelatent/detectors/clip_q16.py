"""Q16: does this image need a content warning? (Schramowski, Tauchmann, Kersting, FAccT 2022, arXiv
2202.06675.)

An image's CLIP embedding is compared with two vectors, learned on labelled images: ``p0`` for what
is fine, ``p1`` for what is not. All of them have length 1. An image is inappropriate iff ``cos(x,
p1) > cos(x, p0)``, which is ``softmax(100 cos)[1] > 0.5``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from safelatent.detectors.contract import Finding, Json
from safelatent.detectors.pair import Pair, Source, check_settings, load_pair
from safelatent.errors import BadValueError
from safelatent.text import squeezed

OPENAI_CLIP = "openai/clip-vit-large-patch14"
OPENAI_COMMIT = "32bd64288804d66eefd0ccbe215aa642df71cc41"
TEMPERATURE = 100.0  # CLIP's own, at the end of its training
# sha256 of the published arrays' bytes (float16, row by row): the CLIP they were learned for.
PUBLISHED = {
    "14f90af537cb8974f17b3e290dd0dc6f71eae3ba0d0f4e12a9e8c56d1b000e11": "ViT-L/14",  # (2, 768)
    "fbe18869a40a10fe26ca89fca8acb4a57e0be4e2b7f6369d560ac72e0f71ed17": "ViT-B/32",  # (2, 512)
}
LARGEST = 1 << 20  # bytes of a file; two vectors take a few thousand


@dataclass(frozen=True, kw_only=True, eq=False)
class Vectors:
    """Q16's two vectors: row 0 is "fine", row 1 "inappropriate".

    Attributes:
        values: (2, D), floating, as stored.

    Raises:
        BadValueError: another shape or type, values that are not finite, a zero vector, or two that
            point the same way.
    """

    values: np.ndarray

    def __post_init__(self) -> None:
        values = self.values
        two = values.ndim == 2 and values.shape[0] == 2 and values.shape[1] > 0
        if not two or not np.issubdtype(values.dtype, np.floating):
            raise BadValueError(
                f"Q16's vectors have shape {values.shape} and type {values.dtype}; they must be"
                " (2, D) and floating"
            )
        if not (np.isfinite(values).all() and values.any(axis=1).all()):
            raise BadValueError(
                "Q16's vectors hold NaN, infinite values or a row of zeros; convert them again"
            )
        if np.array_equal(self.units[0], self.units[1]):
            raise BadValueError(
                "Q16's two vectors point the same way, so nothing could be inappropriate; convert"
                " them again"
            )

    @cached_property
    def units(self) -> np.ndarray:
        """(2, D) float64, each row of length 1."""
        values = self.values.astype(np.float64)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    @cached_property
    def sha256(self) -> str:
        """Of the array's bytes, little-endian, row by row: the same from every kind of file."""
        little = self.values.astype(self.values.dtype.newbyteorder("<"))
        return hashlib.sha256(little.tobytes(order="C")).hexdigest()

    @property
    def published(self) -> str | None:
        """The CLIP that these published vectors were learned for; None if they are others."""
        return PUBLISHED.get(self.sha256)


@dataclass(frozen=True, kw_only=True, eq=False)
class Q16:
    """Inappropriate iff the score is ``> threshold``. The CLIP is loaded at first use."""

    vectors: Vectors
    model: Source
    revision: str | None = None
    device: str = "cpu"
    batch: int = 16
    threshold: float = 0.5
    name: str = "q16"

    def __post_init__(self) -> None:
        check_settings(self.batch, self.threshold)

    def fingerprint(self) -> dict[str, Json]:
        vectors: dict[str, Json] = {
            "sha256": self.vectors.sha256,
            "published": self.vectors.published,
        }
        return {
            "name": self.name,
            "threshold": self.threshold,
            "vectors": vectors,
            "clip": self._fingerprint,
        }

    def score(self, images: Sequence[Image.Image]) -> list[Finding]:
        embeddings = self._pair.batches(
            images, self.batch, lambda pixels: self._pair.model(pixel_values=pixels).image_embeds
        )
        return [self._finding(x) for batch in embeddings for x in batch]

    def score_embeddings(self, embeddings: np.ndarray) -> list[Finding]:
        """Return one finding per image embedding (N, D) of this detector's CLIP, of any length;
        neither pictures nor the CLIP are needed.

        Raises:
            BadValueError: they are not as wide as the vectors.
        """
        needed = self.vectors.values.shape[1]
        if embeddings.ndim != 2 or embeddings.shape[1] != needed:
            raise BadValueError(
                f"Q16's vectors are {needed} wide, and the embeddings have the shape"
                f" {embeddings.shape}; take the vectors learned for the CLIP of the embeddings"
            )
        return [self._finding(x) for x in embeddings.astype(np.float64)]

    def _finding(self, x: np.ndarray) -> Finding:
        """``x``: an embedding (D,), of any length."""
        directed = np.isfinite(x).all() and x.any()
        fine, inappropriate = (
            self.vectors.units @ x / math.sqrt(x @ x) if directed else [math.nan] * 2
        )
        score = 1 / (1 + math.exp(TEMPERATURE * (fine - inappropriate)))  # softmax(100 cos)[1]
        evidence = {
            "cos(x, p0)": round(float(fine), 4),
            "cos(x, p1)": round(float(inappropriate), 4),
        }
        return Finding(score=score, inappropriate=score > self.threshold, evidence=evidence)

    @cached_property
    def _pair(self) -> Pair:
        pair = load_pair(_kind, self.model, revision=self.revision, device=self.device)
        wide, needed = pair.model.config.projection_dim, self.vectors.values.shape[1]
        if wide != needed:
            raise BadValueError(
                f"Q16's vectors are {needed} wide, the CLIP's embeddings {wide}; take the vectors"
                " learned for this CLIP"
            )
        return pair

    @cached_property
    def _fingerprint(self) -> dict[str, Json]:
        return self._pair.fingerprint()


def q16(
    vectors: str | Path,
    *,
    model: Source = OPENAI_CLIP,
    revision: str | None = None,
    device: str = "cpu",
    batch: int = 16,
) -> Q16:
    """Return the Q16 detector.

    Args:
        vectors: the file of the two vectors, ``.npy`` or ``.safetensors``. The published ones are
            recognised by their hash; others are accepted, and their hash is in the fingerprint.
        model: the CLIP: a folder, a Hub id (downloaded if it is not in the cache), or a loaded
            pair of a ``CLIPVisionModelWithProjection`` and its image processor.
        revision: the commit of a Hub id; the default CLIP has one already.
        device: for a model that is loaded here.
        batch: images per call of the CLIP.

    Raises:
        BadValueError: the file cannot be Q16's vectors, or a setting is out of range.
        UnsupportedError: (at first use) the CLIP cannot be loaded.
    """
    if model == OPENAI_CLIP and revision is None:
        revision = OPENAI_COMMIT
    return Q16(
        vectors=read_vectors(vectors), model=model, revision=revision, device=device, batch=batch
    )


def read_vectors(file: str | Path) -> Vectors:
    """Read the vectors from an ``.npy`` file, or a ``.safetensors`` file with one tensor.

    Raises:
        BadValueError: no such file, another kind of file, a pickle inside, or an array that cannot
            be Q16's.
    """
    path = Path(file)
    readers = {".npy": _read_npy, ".safetensors": _read_safetensors}
    if path.suffix not in readers and path.is_file():
        raise BadValueError(
            f"Q16's vectors are in {str(path)!r}; the file must be .npy or .safetensors (for the"
            f" authors' pickle, run: safelatent convert-q16 {path} q16.safetensors)"
        )
    check_size(path)
    try:
        return Vectors(values=readers[path.suffix](path))
    except BadValueError:
        raise
    except Exception as error:  # a broken header can make a reader raise anything
        raise BadValueError(
            f"Q16's vectors: {str(path)!r} cannot be read: {squeezed(error)}"
        ) from error


def check_size(path: Path) -> None:
    """Refuse what is no file, or too large for two vectors.

    Raises:
        BadValueError: naming the file.
    """
    if not path.is_file():
        raise BadValueError(
            f"Q16's vectors: {str(path)!r} is not a file; give the file of the two vectors"
        )
    if path.stat().st_size > LARGEST:
        raise BadValueError(
            f"Q16's vectors: {str(path)!r} has {path.stat().st_size} bytes; two vectors take a few"
            " thousand"
        )


def _kind() -> Any:
    from transformers import CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection


def _read_npy(path: Path) -> np.ndarray:
    return np.load(path, allow_pickle=False)


def _read_safetensors(path: Path) -> np.ndarray:
    from safetensors.numpy import load_file

    tensors = load_file(path)
    if len(tensors) != 1:
        raise BadValueError(
            f"Q16's vectors: {str(path)!r} holds the tensors {sorted(tensors)}; it must hold one,"
            " (2, D)"
        )
    return next(iter(tensors.values()))
