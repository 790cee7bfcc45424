"""A worker that hangs ends a run; whatever else others do passes through."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from safelatent.errors import UnsupportedError
from safelatent.runs.engines import timeout as patience
from safelatent.runs.engines.timeout import within
from safelatent.runs.store import RunError


def test_what_hangs_ends_the_run_and_loses_nothing(monkeypatch):
    hangs = threading.Event()

    def rows():
        hangs.wait()
        yield "never in time"

    monkeypatch.setattr(patience, "STOPPING", 0)
    with pytest.raises(
        RunError,
        match=r"no worker has finished a batch for 0.0001 minutes; what was done before is safe",
    ):
        list(within(0.0001, rows()))
    hangs.set()


def test_who_stops_early_stops_the_source():
    read: list[int] = []

    def rows():
        for n in range(1000):
            read.append(n)
            yield n

    with closing(within(1, rows())) as coming:
        assert [next(coming), next(coming)] == [0, 1]
    assert len(read) < 10
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("(read)")], (
        "the reader has ended"
    )


def test_what_comes_or_is_raised_passes_through():
    assert list(within(1, iter("abc"))) == ["a", "b", "c"]

    def broken():
        yield "a"
        raise UnsupportedError("another model")

    with pytest.raises(UnsupportedError, match="another model"):
        list(within(1, broken()))
