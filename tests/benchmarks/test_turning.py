from __future__ import annotations

from benchmarks.trial import Case
from benchmarks.turning import turning
from tests import tiny


def test_the_turning_of_both_directions():
    some = [Case(of="x", key="x", prompt="a pirate with a pistol", seed=1)]
    lines = turning(tiny.pipeline(), "strong", some, 16)
    numbers = [[float(cell) for cell in line.split("|")[2:6]] for line in lines[2:]]
    assert len(numbers) >= 8
    assert all(-1 <= cosine <= 1 for row in numbers for cosine in row[:2])
    assert all(off >= 0 for row in numbers for off in row[2:])
