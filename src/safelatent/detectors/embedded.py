"""The detectors that come with the package, for the pictures of the embedded model: the judge here,
Q16 and checker beside it.

The judge looks at pixels and shares nothing with the models that are measured, so it alone is the
truth of the embedded world. Q16 and the checker (``embedded_clip``) are the detectors for real
models, on the embedded CLIP: with them a measurement can be tried out as it is done there, and the
judge tells what they miss. None of them loads torch before it is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safelatent.detectors.pixel_judge import PixelJudge


def embedded_judge() -> PixelJudge:
    """The judge: a small classifier of pixels, trained on real scenes."""
    from safelatent.detectors.pixel_judge import WEIGHTS, PixelJudge

    return PixelJudge(weights=WEIGHTS)
