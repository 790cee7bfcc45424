"""Pictures are the same bytes for the same numbers, with letters that can be searched."""

from __future__ import annotations

from benchmarks.plot import axes, svg


def test_a_picture_of_the_same_numbers_has_the_same_bytes():
    first, again, other = (axes(3, 2, "steps", "seconds") for _ in range(3))
    for drawn, height in ((first, 1.0), (again, 1.0), (other, 2.0)):
        drawn.plot([0, 1], [0, height], label="a line")
        drawn.legend()
    assert svg(first) == svg(again) != svg(other)
    assert all(word in svg(first) for word in (b">steps<", b">seconds<", b">a line<"))
