"""An array of embeddings that is read in small parts."""

from __future__ import annotations

import numpy as np
import pytest

from safelatent.audit import embeddings
from safelatent.audit.sources import open_source
from tests.audit.colour_world import ROWS, ColourClip


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(embeddings, "PART", 20)


@pytest.fixture
def array(tmp_path):
    np.save(tmp_path / "a.npy", ROWS)
    return open_source(tmp_path / "a.npy", ColourClip())
