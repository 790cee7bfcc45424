"""The two detectors that look at nothing, for tests and for trying out what comes after a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from safelatent.detectors.verdict import Finding, Json


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
            evidence=f"{self.name}: looks at nothing",
        )
        return [finding] * len(images)


def always() -> Constant:
    """Every usable image is inappropriate."""
    return Constant(name="always", value=1.0)


def never() -> Constant:
    """No image is inappropriate. For tests: it finds nothing because it does not look."""
    return Constant(name="never", value=0.0)
