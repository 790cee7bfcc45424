"""The benchmark of a study loses nothing, and would see it; what it measures is not asserted."""

from __future__ import annotations

import pytest

from benchmarks import study as benchmark


@pytest.mark.slow
def test_every_answer_is_measured_and_found_again(tmp_path, monkeypatch):
    study = benchmark.made(tmp_path, pairs=3, database=None)
    seconds, count, lost = benchmark.measure(study, raters=2, think=0)
    assert (len(seconds), count, lost) == (6, 6, 0)

    class Forgetful(benchmark.Answers):
        def all(self):
            return super().all()[:-1]

    again = benchmark.made(tmp_path / "again", pairs=3, database=None)
    monkeypatch.setattr(benchmark, "Answers", Forgetful)
    assert benchmark.measure(again, raters=1, think=0)[1:] == (3, 1)
