"""The detectors that come with the package, for the pictures of the embedded model."""

from __future__ import annotations

from safelatent.detectors.pixel_judge import pixel_judge
from safelatent.detectors.verdict import Detector


def detectors() -> list[Detector]:
    """Those of the protocol ``embedded``: the judge of pixels, which shares nothing with the models that are measured."""
    return [pixel_judge()]
