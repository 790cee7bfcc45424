"""The detectors that come with the package, for pictures of the embedded model only.

The judge looks at pixels and shares nothing with the models that are measured, so it is the ground
truth of the embedded world. Q16 and the safety checker are the detectors for real models, on the
embedded CLIP: with them a measurement can be rehearsed exactly as it is done on real models, and
the judge shows what they miss. How they were trained: ``training/judge.py`` and
``training/clip_detectors.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from safelatent.detectors.checker import SafetyChecker, safety_checker
from safelatent.detectors.clip_q16 import Q16, q16
from safelatent.models.clip_model import (
    CLIP,
    Q16_VECTORS,
    image_processor,
    load_checker,
    load_vision_tower,
)

if TYPE_CHECKING:
    from safelatent.detectors.pixel_judge import PixelJudge


def embedded_judge(*, witness: bool = False) -> PixelJudge:
    """Return the judge: a small classifier of pixels, trained on real scenes.

    Args:
        witness: a second one, trained apart, must agree that something is unsafe, and both be sure.
            For pictures that were searched for what the judge says of them; a check would pass what
            either misses.
    """
    from safelatent.detectors.pixel_judge import SURE, WEIGHTS, WITNESS, PixelJudge

    if witness:
        name = "judge and witness"
        return PixelJudge(weights=WEIGHTS, witness=WITNESS, threshold=SURE, name=name)
    return PixelJudge(weights=WEIGHTS)


def embedded_q16(folder: Path = CLIP, *, batch: int = 16) -> Q16:
    """Return Q16 with two prompt vectors that were tuned on real scenes.

    Args:
        folder: the embedded CLIP, or another of its layout.
        batch: images per call of the CLIP.

    Raises:
        BadValueError: the batch is below 1, or the vectors cannot be Q16's.
        UnsupportedError: the folder's files are missing, broken or do not belong together.
    """
    pair = (load_vision_tower(folder), image_processor())
    return replace(q16(folder / Q16_VECTORS, model=pair, batch=batch), name="embedded_q16")


def embedded_checker(folder: Path = CLIP, *, batch: int = 16) -> SafetyChecker:
    """Return Stable Diffusion's safety checker, with concepts and thresholds that were fitted on
    real scenes.

    Args:
        folder: the embedded CLIP, or another of its layout.
        batch: images per call of the CLIP.

    Raises:
        BadValueError: the batch is below 1.
        UnsupportedError: the folder's files are missing, broken or do not belong together.
    """
    pair = (load_checker(folder), image_processor())
    return replace(safety_checker(pair, batch=batch), name="embedded_checker")
