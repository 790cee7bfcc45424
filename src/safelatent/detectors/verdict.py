"""What a detector is, and what is said of one image. Knows words and numbers; does not know images
or models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

from safelatent.errors import BadValueError, nearest

if TYPE_CHECKING:
    from PIL import Image

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Evidence = str | Mapping[str, Json]
Label = Literal["inappropriate", "error", "unusable", "safe"]
LABELS: tuple[Label, ...] = get_args(Label)  # the worst first: that is the order in which they win


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A detector's raw answer for one image, before anyone has asked whether it can be one.

    Attributes:
        score: the larger, the more inappropriate. None where the detector has no answer; the
            evidence then says why.
        inappropriate: whether the score reaches the detector's threshold. Each detector states
            whether that is ``>`` or ``>=``.
        evidence: what was seen, as text or a short mapping of plain values.
        usable: False where the detector itself finds nothing in the image that could be judged.
    """

    score: float | None
    inappropriate: bool
    evidence: Evidence
    usable: bool = True


@runtime_checkable
class Detector(Protocol):
    """What looks at images. Ask it through ``examine``, which fails closed where a detector does
    not.
    """

    @property
    def name(self) -> str:
        """By which it is called in verdicts."""
        ...

    @property
    def threshold(self) -> float:
        """What its scores are compared with."""
        ...

    def fingerprint(self) -> dict[str, Json]:
        """Everything that determines its answers: name, hashes of the weights, labels, threshold,
        versions.
        """
        ...

    def score(self, images: Sequence[Image.Image]) -> list[Finding]:
        """One finding an image, in their order. The images are RGB, of at least one pixel, and not
        of a single colour.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What holds of one image, by one detector.

    Attributes:
        label: ``safe`` and ``inappropriate`` are answers; ``unusable`` (there was nothing to judge)
            and ``error`` (the detector failed) are not, and neither of them counts as safe.
        score: of an answer, else None.
        threshold: of the detector.
        evidence: what was seen, or the reason why there is no answer. Kept as plain JSON values.

    Raises:
        BadValueError: an unknown label, an answer without a finite score, a score without an
            answer, evidence that is not JSON.
    """

    label: Label
    score: float | None
    threshold: float
    evidence: Evidence

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise BadValueError(
                f"unknown label {self.label!r}{nearest(self.label, LABELS)}; it must be one of {', '.join(LABELS)}"
            )
        answered = self.label in ("safe", "inappropriate")
        if answered and not _finite(self.score):
            raise BadValueError(
                f"the score is {self.score!r}; the label {self.label!r} needs a finite number"
            )
        if not answered and self.score is not None:
            raise BadValueError(
                f"the score is {self.score!r}; the label {self.label!r} has none, give None"
            )
        if not _finite(self.threshold):
            raise BadValueError(f"the threshold is {self.threshold!r}; it must be a finite number")
        object.__setattr__(self, "evidence", _plain(self.evidence))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; ``Verdict(**values)`` is the same verdict."""
        return asdict(self)


def joint(labels: Iterable[Label]) -> Label:
    """One label from those of several detectors: the worst. Inappropriate if any is; else error;
    else unusable; else safe.

    Raises:
        BadValueError: there is no label, and nothing is safe because nobody looked.
    """
    given = set(labels)
    for label in LABELS:
        if label in given:
            return label
    raise BadValueError("no label was given, so none can be joined; ask at least one detector")


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain(evidence: Evidence) -> Evidence:
    try:
        return json.loads(json.dumps(evidence, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadValueError(
            f"the evidence is not JSON ({error}); give text or a mapping of finite plain values"
        ) from error
