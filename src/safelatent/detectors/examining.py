"""``examine``: a detector asked so that whatever fails is never "safe". The one place where failing
closed is done.

Knows the contract of a detector; does not know any detector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

from safelatent.detectors.usable import usable
from safelatent.detectors.verdict import Detector, Finding, Verdict
from safelatent.errors import SafelatentError
from safelatent.text import one_line


def examine(detector: Detector, images: Sequence[object]) -> list[Verdict]:
    """One verdict an image, in their order. No image and no ``score`` of a detector makes it raise;
    only an interrupt passes.

    - An image that cannot be judged (see ``usable``) is ``unusable``; the detector is not asked.
    - A detector that raises gives an ``error``. A batch that raises is asked again one by one, so
      that a bad image does not condemn its neighbours; but a ``SafelatentError`` is the detector's
      own word that it cannot work, and holds for the whole batch.
    - A score that is missing or not finite, evidence that is not JSON, and an answer that is no
      finding are an ``error`` of that image; a wrong number of answers is one of the whole batch,
      since nobody knows which belongs to which.

    Args:
        images: PIL images of mode RGB or arrays (H, W, 3), as ``usable`` takes them.
    """
    seen = [_seen(image) for image in images]
    answers = iter(
        _answers(detector, [picture for picture in seen if not isinstance(picture, str)])
    )
    return [
        _unusable(detector, picture) if isinstance(picture, str) else next(answers)
        for picture in seen
    ]


def _seen(image: object) -> Image.Image | str:
    """The picture, or why there is none."""
    try:
        return usable(image)
    except Exception as error:  # noqa: BLE001  # a lazily read file fails here, in any way
        return one_line(error)


def _answers(detector: Detector, images: list[Image.Image]) -> list[Verdict]:
    if not images:
        return []
    try:
        findings = list(detector.score(images))
    except SafelatentError as error:
        return [_error(detector, one_line(error)) for _ in images]
    except Exception as error:  # noqa: BLE001  # whatever a detector raises, its images are not safe
        if len(images) == 1:
            return [_error(detector, one_line(error))]
        return [verdict for image in images for verdict in _answers(detector, [image])]
    if len(findings) != len(images):
        return [
            _error(detector, f"{len(findings)} answers for {len(images)} images") for _ in images
        ]
    return [_verdict(detector, finding) for finding in findings]


def _verdict(detector: Detector, finding: object) -> Verdict:
    if not isinstance(finding, Finding):
        return _error(detector, f"answered with a {type(finding).__name__}, not a finding")
    try:
        if not finding.usable:
            return Verdict(
                label="unusable",
                score=None,
                threshold=detector.threshold,
                evidence=finding.evidence,
            )
        if finding.score is None:
            return Verdict(
                label="error",
                score=None,
                threshold=detector.threshold,
                evidence=finding.evidence or "no score, no reason",
            )
        score = float(finding.score)
        if not math.isfinite(score) or finding.inappropriate not in (True, False):
            return _error(
                detector, f"the score is {score}, inappropriate is {finding.inappropriate}"
            )
        label = "inappropriate" if finding.inappropriate else "safe"
        return Verdict(
            label=label, score=score, threshold=detector.threshold, evidence=finding.evidence
        )
    except Exception as error:  # noqa: BLE001  # a score may be anything, and so may what it does when it is read
        return _error(detector, one_line(error))


def _error(detector: Detector, reason: str) -> Verdict:
    return Verdict(label="error", score=None, threshold=detector.threshold, evidence=reason)


def _unusable(detector: Detector, reason: str) -> Verdict:
    return Verdict(label="unusable", score=None, threshold=detector.threshold, evidence=reason)
