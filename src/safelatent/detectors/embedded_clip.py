"""The embedded world's own Q16 and safety checker: the detectors for real models, on the embedded
CLIP. They bring their weights along.

Knows where the weights are; does not know how they were made (``training/clip_detectors.py``). They
are for emoji and mean nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from safelatent.detectors.checker import SafetyChecker, safety_checker
from safelatent.detectors.clip_q16 import Q16, q16
from safelatent.models.clip_model import (
    CLIP,
    Q16_VECTORS,
    image_processor,
    load_checker,
    load_vision_tower,
)


def embedded_q16(folder: Path = CLIP, *, batch: int = 16) -> Q16:
    """Q16 with two prompt vectors that were tuned on real scenes.

    Args:
        folder: the embedded CLIP, or another of its layout.
        batch: images at a time.

    Raises:
        BadValueError: the batch makes no sense, or the vectors cannot be Q16's.
        UnsupportedError: the folder's files are missing, broken or do not belong together.
    """
    detector = q16(
        folder / Q16_VECTORS, model=(load_vision_tower(folder), image_processor()), batch=batch
    )
    return replace(detector, name="embedded_q16")


def embedded_checker(folder: Path = CLIP, *, batch: int = 16) -> SafetyChecker:
    """Stable Diffusion's safety checker, with concepts and thresholds that were fitted on real
    scenes.

    Args:
        folder: the embedded CLIP, or another of its layout.
        batch: images at a time.

    Raises:
        BadValueError: the batch makes no sense.
        UnsupportedError: the folder's files are missing, broken or do not belong together.
    """
    return replace(
        safety_checker((load_checker(folder), image_processor()), batch=batch),
        name="embedded_checker",
    )
