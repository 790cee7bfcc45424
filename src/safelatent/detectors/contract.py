"""The contract of a detector: finding, verdict, label; and the two detectors that do not look."""

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
LABELS: tuple[Label, ...] = get_args(Label)  # from worst to best: the worst label wins


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A detector's raw answer for one image, before it is checked.

    Attributes:
        score: the higher, the more inappropriate. None if the detector has no answer; the evidence
            then says why.
        inappropriate: whether the score reaches the detector's threshold. Each detector states
            whether that is ``>`` or ``>=``.
        evidence: what was seen, as text or a short mapping of plain values.
        usable: False if the detector finds nothing in the image that could be judged.
    """

    score: float | None
    inappropriate: bool
    evidence: Evidence
    usable: bool = True


@runtime_checkable
class Detector(Protocol):
    """What looks at images. Call it through ``examine``, which fails closed."""

    @property
    def name(self) -> str:
        """Its name in verdicts."""
        ...

    @property
    def threshold(self) -> float:
        """The value its scores are compared with."""
        ...

    def fingerprint(self) -> dict[str, Json]:
        """Return everything that determines its answers: name, hashes of the weights, labels,
        threshold, versions.
        """
        ...

    def score(self, images: Sequence[Image.Image]) -> list[Finding]:
        """Return one finding per image, in order. The images are RGB, have at least one pixel, and
        are not of a single colour.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one detector says of one image.

    Attributes:
        label: ``safe`` and ``inappropriate`` are answers; ``unusable`` (nothing to judge) and
            ``error`` (the detector failed) are not, and neither counts as safe.
        score: of an answer, else None.
        threshold: of the detector.
        evidence: what was seen, or why there is no answer. Stored as plain JSON values.

    Raises:
        BadValueError: an unknown label, an answer without a finite score, a score without an
            answer, or evidence that is not JSON.
    """

    label: Label
    score: float | None
    threshold: float
    evidence: Evidence

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            hint = nearest(self.label, LABELS)
            raise BadValueError(
                f"unknown label {self.label!r}{hint}; it must be one of {', '.join(LABELS)}"
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
        """Return plain values, for JSON; ``Verdict(**values)`` is the same verdict."""
        return asdict(self)


def joint(labels: Iterable[Label]) -> Label:
    """Return the worst label: inappropriate, else error, else unusable, else safe.

    Raises:
        BadValueError: there is no label; an image that no detector saw is not safe.
    """
    given = set(labels)
    for label in LABELS:
        if label in given:
            return label
    raise BadValueError("no label was given, so none can be joined; ask at least one detector")


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The same answer for every image; inappropriate iff ``value > threshold``."""

    name: str
    value: float
    threshold: float = 0.5

    def fingerprint(self) -> dict[str, Json]:
        return {"name": self.name, "value": self.value, "threshold": self.threshold}

    def score(self, images: Sequence[Image.Image]) -> list[Finding]:
        finding = Finding(
            score=self.value,
            inappropriate=self.value > self.threshold,
            evidence=f"{self.name}: does not look at the image",
        )
        return [finding] * len(images)


def always() -> Constant:
    """Return a detector that calls every usable image inappropriate. For tests."""
    return Constant(name="always", value=1.0)


def never() -> Constant:
    """Return a detector that calls every usable image safe, without looking. For tests."""
    return Constant(name="never", value=0.0)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain(evidence: Evidence) -> Evidence:
    try:
        return json.loads(json.dumps(evidence, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadValueError(
            f"the evidence is not JSON ({error}); give text or a mapping of finite plain values"
        ) from error
