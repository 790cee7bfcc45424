"""One thread a test: tiny models are slower with two, and results do not depend on the machine's
count.
"""

from __future__ import annotations

import gc
import os
from itertools import islice

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


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What collecting imports stays for good: the garbage collector need not look for garbage in it
    again and again while it grows, and seldom afterwards, for most of what tests make needs no
    collector to be freed.
    """
    gc.disable()
    result = yield
    gc.set_threshold(20_000)
    gc.enable()
    return result


def pytest_collection_modifyitems(items):
    """Fast tests first; with several workers, every worker begins with its share of the slow ones,
    so that none of them is left for the end.

    xdist gives each worker as many tests in a row and moves the last of them to who has none left.
    """
    slow = [item for item in items if item.get_closest_marker("slow")]
    fast = [item for item in items if not item.get_closest_marker("slow")]
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers == 1:
        items[:] = fast + slow
        return
    modules = list(dict.fromkeys(item.path for item in slow))  # whole, for the sake of fixtures
    shared = {path: n % workers for n, path in enumerate(modules)}
    each, rest = len(items) // workers, iter(fast)
    items.clear()
    for worker in range(workers):
        own = [item for item in slow if shared[item.path] == worker]
        items += [*own, *islice(rest, max(0, each - len(own)))]
    items += rest
