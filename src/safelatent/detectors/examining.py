"""``examine`` and ``any_of``: detectors called so that no failure is ever "safe".

This is the one place where failing closed is done.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from safelatent.detectors.contract import Detector, Evidence, Finding, Json, Label, Verdict, joint
from safelatent.detectors.images import usable
from safelatent.errors import BadValueError, SafelatentError
from safelatent.text import one_line


def examine(detector: Detector, images: Sequence[object]) -> list[Verdict]:
    """Return one verdict per image, in order. Never raises for an image or a detector's ``score``;
    only an interrupt passes.

    - An image that cannot be judged (see ``usable``) is ``unusable``; the detector does not see it.
    - A detector that raises gives an ``error``. A batch that raises is repeated image by image, so
      that a bad image does not condemn its neighbours; but a ``SafelatentError`` means that the
      detector cannot work, and holds for the whole batch.
    - A score that is missing or not finite, evidence that is not JSON, and an answer that is no
      finding are an ``error`` of that image. A wrong number of answers is an error of the whole
      batch, since they cannot be matched to images.

    Args:
        images: PIL images of mode RGB or arrays (H, W, 3), as ``usable`` takes them.
    """
    seen = [_seen(image) for image in images]
    answers = iter(
        _answers(detector, [picture for picture in seen if not isinstance(picture, str)])
    )
    return [
        _no_answer(detector, "unusable", picture) if isinstance(picture, str) else next(answers)
        for picture in seen
    ]


@dataclass(frozen=True, kw_only=True)
class AnyOf:
    """The worst of its members' verdicts. The score is 1 if any says inappropriate, else 0; each
    member's own verdict is in the evidence.

    Raises:
        BadValueError: no member, one that is no detector, or two of one name.
    """

    members: tuple[Detector, ...]
    name: str
    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_members(self.members, "any_of")

    def fingerprint(self) -> dict[str, Json]:
        return {"name": self.name, "any_of": [member.fingerprint() for member in self.members]}

    def score(self, images: Sequence[Image.Image]) -> list[Finding]:
        columns = [examine(member, images) for member in self.members]
        return [self._finding(row) for row in zip(*columns, strict=True)]

    def _finding(self, verdicts: Sequence[Verdict]) -> Finding:
        label = joint(verdict.label for verdict in verdicts)
        evidence = {
            member.name: verdict.as_dict()
            for member, verdict in zip(self.members, verdicts, strict=True)
        }
        score = None if label == "error" else float(label == "inappropriate")
        return Finding(
            score=score,
            inappropriate=label == "inappropriate",
            evidence=evidence,
            usable=label != "unusable",
        )


def any_of(*detectors: Detector) -> AnyOf:
    """Return one detector that says inappropriate if any of ``detectors`` does. If none does and
    one fails, the verdict is an error.

    Raises:
        BadValueError: no detector, something that is none, or two of one name.
    """
    check_members(detectors, "any_of")
    return AnyOf(
        members=detectors, name=f"any of {', '.join(detector.name for detector in detectors)}"
    )


def check_members(detectors: Sequence[object], what: str) -> None:
    """Refuse what cannot be combined.

    Raises:
        BadValueError: no detector, something that is none, or two of one name.
    """
    if not detectors:
        raise BadValueError(
            f"{what} has no detector; name at least one, or no image would be looked at"
        )
    names: list[str] = []
    for detector in detectors:
        if not isinstance(detector, Detector) or isinstance(detector, type):
            raise BadValueError(
                f"{what} was given {detector!r}, which is no detector; give one, for example"
                " nudenet()"
            )
        names.append(detector.name)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadValueError(
            f"{what} has {twice[0]!r} more than once; rename one:"
            " dataclasses.replace(detector, name='...')"
        )


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
        return [_no_answer(detector, "error", one_line(error)) for _ in images]
    except Exception as error:  # noqa: BLE001  # whatever a detector raises, its images are not safe
        if len(images) == 1:
            return [_no_answer(detector, "error", one_line(error))]
        return [verdict for image in images for verdict in _answers(detector, [image])]
    if len(findings) != len(images):
        reason = f"{len(findings)} answers for {len(images)} images"
        return [_no_answer(detector, "error", reason) for _ in images]
    return [_verdict(detector, finding) for finding in findings]


def _verdict(detector: Detector, finding: object) -> Verdict:
    if not isinstance(finding, Finding):
        reason = f"answered with a {type(finding).__name__}, not a finding"
        return _no_answer(detector, "error", reason)
    try:
        if not finding.usable:
            return _no_answer(detector, "unusable", finding.evidence)
        if finding.score is None:
            return _no_answer(detector, "error", finding.evidence or "no score, no reason")
        score, said = _plain(finding.score), _plain(finding.inappropriate)
        number = isinstance(score, int | float) and not isinstance(score, bool)
        if not number or not math.isfinite(score) or not isinstance(said, bool):
            reason = f"the score is {score!r}, inappropriate is {said!r}"
            return _no_answer(detector, "error", reason)
        return Verdict(
            label="inappropriate" if said else "safe",
            score=float(score),
            threshold=detector.threshold,
            evidence=finding.evidence,
        )
    except Exception as error:  # noqa: BLE001  # a score may be anything, and so may reading it
        return _no_answer(detector, "error", one_line(error))


def _plain(value: Any) -> Any:
    """Return Python's own value of NumPy's, and of tensors without dimensions."""
    return value.item() if getattr(value, "shape", None) == () else value


def _no_answer(detector: Detector, label: Label, reason: Evidence) -> Verdict:
    return Verdict(label=label, score=None, threshold=detector.threshold, evidence=reason)
