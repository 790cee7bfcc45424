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


def test_the_page_says_whether_the_limit_was_met():
    quick, slow = [0.1] * 20, [0.3] * 20
    assert benchmark.row(5.0, quick, 20, 0) == ("| 5 s | 20 | 0 | 100 ms | 100 ms | 100 ms | yes |")
    assert benchmark.row(0.0, slow, 20, 0).endswith("| no |")
    assert benchmark.row(0.0, quick, 20, 1).endswith("| no |")
    lines = benchmark.head(50, 30, None)
    assert lines[0].startswith("50 raters, 30 pairs each, answers in SQLite; ")
    assert lines[-1].count("|") == lines[-2].count("|") == benchmark.row(1, quick, 1, 0).count("|")
