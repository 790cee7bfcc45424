"""Q16: is this image one that a datasheet should warn of? (Schramowski, Tauchmann, Kersting, FAccT
2022, arXiv 2202.06675.)

An image's CLIP embedding is compared with two vectors, learned on labelled images: ``p0`` for what
is fine, ``p1`` for what is not. All of them have length 1. An image is inappropriate iff ``cos(x,
p1) > cos(x, p0)``, which is ``softmax(100 cos)[1] > 0.5``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from safelatent.detectors.pair import Pair, Source, check_settings, load_pair
from safelatent.detectors.vectors import Vectors, read_vectors
from safelatent.detectors.verdict import Finding, Json
from safelatent.errors import BadValueError

OPENAI_CLIP = "openai/clip-vit-large-patch14"
OPENAI_COMMIT = "32bd64288804d66eefd0ccbe215aa642df71cc41"
TEMPERATURE = 100.0  # CLIP's own, at the end of its training


@dataclass(frozen=True, kw_only=True, eq=False)
class Q16:
    """The model is loaded when it is first asked. An image is inappropriate iff its score is ``>
    threshold``.
    """

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
                f"Q16's vectors are {needed} wide, the CLIP's embeddings {wide}; take the vectors learned for this CLIP"
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
    """The Q16 detector.

    Args:
        vectors: the file of the two vectors, ``.npy`` or ``.safetensors``; the published ones are
            known by their hash, others are taken as they are and stand in the fingerprint by
            theirs.
        model: the CLIP: a folder, a Hub id (downloaded when it is not in the cache), or a loaded
            pair of a ``CLIPVisionModelWithProjection`` and its image processor.
        revision: the commit of a Hub id; the default CLIP brings its own.
        device: for a model that is loaded here.
        batch: images at a time.

    Raises:
        BadValueError: the file cannot be Q16's vectors, or a setting makes no sense.
        UnsupportedError: (when it is first asked) the CLIP cannot be loaded.
    """
    if model == OPENAI_CLIP and revision is None:
        revision = OPENAI_COMMIT
    return Q16(
        vectors=read_vectors(vectors), model=model, revision=revision, device=device, batch=batch
    )


def _kind() -> Any:
    from transformers import CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection
