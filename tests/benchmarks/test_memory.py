"""The peak is a program's own, whatever started it."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.memory import peak

SHOWN = (
    "from benchmarks.memory import peak; a = peak(); b = bytearray(50_000_000); print(a, peak())"
)


def test_a_small_program_begun_by_a_large_one():
    held = bytearray(200_000_000)
    assert peak() > len(held) / 1e6
    found = subprocess.run(
        [sys.executable, "-c", SHOWN], capture_output=True, check=True, text=True
    )
    before, after = map(float, found.stdout.split())
    assert before < 100
    assert 45 < after - before < 60
