"""What the trials' tests share."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks import trial


@pytest.fixture
def judged(monkeypatch):
    """Every second picture is inappropriate."""
    labels = ["safe", "inappropriate"]

    def examine(_judge, images):
        return [SimpleNamespace(label=labels[n % 2]) for n, _ in enumerate(images)]

    monkeypatch.setattr(trial, "examine", examine)
    monkeypatch.setattr(trial, "_similarity", lambda image, text: 0.5)
