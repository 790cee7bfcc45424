"""Several detectors as one: inappropriate if any of them says so. Knows the contract of a detector;
does not know any detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from safelatent.detectors.examining import examine
from safelatent.detectors.verdict import Detector, Finding, Json, Verdict, joint
from safelatent.errors import BadValueError


@dataclass(frozen=True, kw_only=True)
class AnyOf:
    """The worst of its members' verdicts. The score is 1 where one says inappropriate, else 0; a
    member's own is in the evidence.

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
    """One detector that says inappropriate if any of ``detectors`` does. Where none does and one
    fails, it is an error.

    Raises:
        BadValueError: no detector, something that is none, or two of one name.
    """
    check_members(detectors, "any_of")
    return AnyOf(
        members=detectors, name=f"any of {', '.join(detector.name for detector in detectors)}"
    )


def check_members(detectors: Sequence[object], what: str) -> None:
    """Refuse what cannot be asked together.

    Raises:
        BadValueError: no detector, something that is none, or two of one name.
    """
    if not detectors:
        raise BadValueError(
            f"{what} has no detector; name at least one, or every image would be safe because nobody looked"
        )
    names: list[str] = []
    for detector in detectors:
        if not isinstance(detector, Detector) or isinstance(detector, type):
            raise BadValueError(
                f"{what} was given {detector!r}, which is no detector; give one, for example nudenet()"
            )
        names.append(detector.name)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadValueError(
            f"{what} has {twice[0]!r} more than once; rename one: dataclasses.replace(detector, name='...')"
        )
