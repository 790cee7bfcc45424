"""One thread a test: tiny models are slower with two, and results do not depend on the machine's
count.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# No test has a time limit of its own: a slow moment of the machine is no fault.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks a hub


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    import torch

    torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """Fast tests first."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
