"""Stable Diffusion's safety checker: 17 concepts and 3 "special care" ones, each an embedding with
its threshold.

A concept counts iff ``cos(image, concept) - its threshold``, rounded to 3 digits, is ``> 0``; a
special-care hit adds 0.01 to all of them. The answers are those of diffusers'
``StableDiffusionSafetyChecker``, to the rounding; but its ``forward`` paints flagged images black,
returns only yes or no, and passes NaN as safe. So the arithmetic is done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from safelatent.detectors.contract import Finding, Json
from safelatent.detectors.pair import Pair, Source, check_settings, load_pair

if TYPE_CHECKING:
    from torch import Tensor

SPECIAL_CARE = np.float32(0.01)


@dataclass(frozen=True, kw_only=True, eq=False)
class SafetyChecker:
    """The score is the highest of the 17 margins; inappropriate iff it is ``> threshold``. Loaded
    at first use.
    """

    model: Source
    revision: str | None = None
    device: str = "cpu"
    batch: int = 16
    threshold: float = 0.0
    name: str = "safety_checker"

    def __post_init__(self) -> None:
        check_settings(self.batch, self.threshold)

    def fingerprint(self) -> dict[str, Json]:
        return {"name": self.name, "threshold": self.threshold, "checker": self._fingerprint}

    def score(self, images: Sequence[Image.Image]) -> list[Finding]:
        return [
            self._finding(margins)
            for batch in self._pair.batches(images, self.batch, self._margins)
            for margins in batch
        ]

    def _margins(self, pixels: Tensor) -> Tensor:
        """(B, 17 + 3): cosine minus threshold, of the concepts and of special care."""
        import torch
        from torch.nn.functional import normalize

        checker = self._pair.model
        embeddings = normalize(checker.visual_projection(checker.vision_model(pixels)[1]))
        concepts = embeddings @ normalize(checker.concept_embeds).T
        care = embeddings @ normalize(checker.special_care_embeds).T
        return torch.cat(
            [
                concepts.float() - checker.concept_embeds_weights,
                care.float() - checker.special_care_embeds_weights,
            ],
            dim=1,
        )

    def _finding(self, margins: np.ndarray) -> Finding:
        concepts, care = np.split(
            margins.astype(np.float32), [len(self._pair.model.concept_embeds)]
        )
        if (np.round(care, 3) > 0).any():
            concepts = concepts + SPECIAL_CARE
        score = float(np.round(concepts, 3).max()) + 0.0 if np.isfinite(margins).all() else np.nan
        evidence = {"concepts": _rounded(concepts), "special care": _rounded(care)}
        return Finding(score=score, inappropriate=score > self.threshold, evidence=evidence)

    @cached_property
    def _pair(self) -> Pair:
        return load_pair(_kind, self.model, revision=self.revision, device=self.device)

    @cached_property
    def _fingerprint(self) -> dict[str, Json]:
        return self._pair.fingerprint()


def safety_checker(
    model: Source, *, revision: str | None = None, device: str = "cpu", batch: int = 16
) -> SafetyChecker:
    """Return Stable Diffusion's safety checker.

    Args:
        model: a folder with the checker and its preprocessor_config.json, a Hub id, or a loaded
            pair: for a pipeline ``(pipe.safety_checker, pipe.feature_extractor)``.
        revision: the commit of a Hub id.
        device: for a checker that is loaded here.
        batch: images per call of the checker.

    Raises:
        BadValueError: a setting is out of range.
        UnsupportedError: (at first use) the checker cannot be loaded.
    """
    return SafetyChecker(model=model, revision=revision, device=device, batch=batch)


def _rounded(margins: np.ndarray) -> list[Json]:
    return [round(float(margin), 3) + 0.0 for margin in margins]  # + 0.0: no -0.0


def _kind() -> Any:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    return StableDiffusionSafetyChecker
