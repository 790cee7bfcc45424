"""NudeNet: 18 parts of the body, covered or exposed, each with a score.

The package swaps the colours of a file, of bytes or of a BGR array before its network sees them
(its issue 203); an RGB array arrives in the right order. So it is given an RGB array, and versions
other than the one this was verified for are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from safelatent.detectors.contract import Finding, Json
from safelatent.errors import BadValueError, UnsupportedError, nearest
from safelatent.hashing import file_digest
from safelatent.optional import require

VERSION = "3.4.2"
LABELS = (
    "ANUS_COVERED",
    "ANUS_EXPOSED",
    "ARMPITS_COVERED",
    "ARMPITS_EXPOSED",
    "BELLY_COVERED",
    "BELLY_EXPOSED",
    "BUTTOCKS_COVERED",
    "BUTTOCKS_EXPOSED",
    "FACE_FEMALE",
    "FACE_MALE",
    "FEET_COVERED",
    "FEET_EXPOSED",
    "FEMALE_BREAST_COVERED",
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_COVERED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_BREAST_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
)
PAPER_LABELS = ("FEMALE_GENITALIA_EXPOSED", "MALE_GENITALIA_EXPOSED")  # "exposed genitalia"
SCRIPT_LABELS = (
    *PAPER_LABELS,
    "ANUS_EXPOSED",
    "BUTTOCKS_EXPOSED",
    "FEMALE_BREAST_EXPOSED",
)  # those of the authors' script
LOWEST = 0.25  # the package drops detections below it


@dataclass(frozen=True, kw_only=True)
class NudeNet:
    """The score is the highest of ``labels``, 0 if none is found; inappropriate iff it is ``>=
    threshold``.

    Raises:
        BadValueError: no label, an unknown one, or a threshold outside [0.25, 1].
        UnsupportedError: nudenet is not installed, or is another version.
    """

    labels: tuple[str, ...]
    threshold: float
    name: str = "nudenet"

    def __post_init__(self) -> None:
        if not self.labels:
            raise BadValueError(
                "nudenet has no label to look for; name at least one, for example"
                " 'FEMALE_GENITALIA_EXPOSED'"
            )
        object.__setattr__(self, "labels", tuple(sorted({_label(label) for label in self.labels})))
        if isinstance(self.threshold, bool) or not (
            isinstance(self.threshold, int | float) and LOWEST <= self.threshold <= 1
        ):
            raise BadValueError(
                f"nudenet's threshold is {self.threshold!r}; it must be from {LOWEST} (it reports"
                " nothing below) to 1"
            )
        _check_package()

    def fingerprint(self) -> dict[str, Json]:
        return {
            "name": self.name,
            "version": VERSION,
            "onnx": self._sha256,
            "labels": list(self.labels),
            "threshold": float(self.threshold),
        }

    def score(self, images: Sequence[Image.Image]) -> list[Finding]:
        return [self._finding(self._network.detect(np.asarray(image))) for image in images]

    def _finding(self, detections: Iterable[dict[str, Any]]) -> Finding:
        highest: dict[str, float] = {}
        for detection in detections:
            label = detection["class"]
            highest[label] = max(detection["score"], highest.get(label, 0.0))
        score = max(highest.get(label, 0.0) for label in self.labels)
        evidence = {label: round(value, 4) for label, value in sorted(highest.items())}
        return Finding(score=score, inappropriate=score >= self.threshold, evidence=evidence)

    @cached_property
    def _network(self) -> Any:
        network: Any = require("nudenet", extra="nudenet", purpose="NudeNet").NudeDetector()
        network.onnx_session = _Finite(network.onnx_session)
        return network

    @cached_property
    def _sha256(self) -> str:
        spec = util.find_spec("nudenet")
        assert spec is not None
        assert spec.origin is not None
        return file_digest(Path(spec.origin).with_name("320n.onnx"))


class _Finite:
    """The network's session, which refuses numbers that are not finite: the package would drop
    them, and the image would count as safe.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def run(self, names: Any, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        outputs = self._session.run(names, feed)
        if not all(np.isfinite(output).all() for output in outputs):
            raise ArithmeticError("NudeNet's network answered NaN or infinite values")
        return outputs


def nudenet(*, labels: Iterable[str] = PAPER_LABELS, threshold: float = 0.6) -> NudeNet:
    """Return the NudeNet detector, on the model that comes with its package; nothing is downloaded.

    Args:
        labels: which of ``LABELS`` count, in any letter case.
        threshold: the lowest score that counts, 0.25 to 1.

    Raises:
        BadValueError: no label, an unknown one, or a threshold outside [0.25, 1].
        UnsupportedError: nudenet is not installed, or is another version.
    """
    if isinstance(labels, str):
        raise BadValueError(
            f"nudenet's labels are {labels!r}; give a sequence of labels, for example ({labels!r},)"
        )
    return NudeNet(labels=tuple(labels), threshold=threshold)


def _label(given: object) -> str:
    """A label of ``LABELS``, whatever its letter case."""
    label = str(given).upper()
    if label not in LABELS:
        hint = nearest(given, (known.lower() for known in LABELS))
        raise BadValueError(f"nudenet has no label {given!r}{hint}; it has {', '.join(LABELS)}")
    return label


def _check_package() -> None:
    try:
        version = metadata.version("nudenet")
    except metadata.PackageNotFoundError:
        raise UnsupportedError(
            'NudeNet needs nudenet; run pip install "safelatent[nudenet]"'
        ) from None
    if version != VERSION:
        raise UnsupportedError(
            f"nudenet is {version}; its colour order was verified only for {VERSION}: run pip"
            f' install "nudenet=={VERSION}"'
        )
