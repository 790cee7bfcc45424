from __future__ import annotations

from PIL import Image

from safelatent.detectors import always, examine, never
from tests.detectors.tiny_detectors import noise


def test_always():
    verdicts = examine(always(), [noise(8), Image.new("RGB", (8, 8))])
    assert [(v.label, v.score) for v in verdicts] == [("inappropriate", 1.0), ("unusable", None)]


def test_never():
    verdicts = examine(never(), [noise(8), Image.new("RGB", (8, 8))])
    assert [(v.label, v.score) for v in verdicts] == [("safe", 0.0), ("unusable", None)]
