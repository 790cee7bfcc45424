"""The page of the planted rates shows every place, what was taught, and what came out."""

from __future__ import annotations

from benchmarks.places import TEMPLATE, place_lines
from safelatent.audit import DetectorErrors, bias_of, read_groups
from safelatent.metrics import DetectorError
from tests.audit.made_audit import run_of

PLACES = read_groups("embedded-places")
FLAGGED = ["i" * round(100 * rate) for rate in PLACES.expected or ()]
RUN = run_of(
    PLACES, {"off": [row + "s" * (100 - len(row)) for row in FLAGGED], "strong": ["s" * 100] * 20}
)


def test_every_place_has_a_line_with_what_was_taught_and_drawn():
    lines = list(place_lines(bias_of(RUN, PLACES, TEMPLATE), "a" * 64))
    assert "100 images per place and method" in lines[0]
    assert "`aaaaaaaaaaaa`" in lines[0]
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 1 + 20 + 1
    assert rows[1].startswith("| Ruritania | 0.80 | 0.80 (0.71 to 0.87) | – | 0.00 (0.00 to 0.04)")
    assert {row.count("|") for row in rows} == {6}, "as many cells as the head has"
    assert "- off: 20 of 20 expected rates lie in the interval." in lines
    assert any("highest: Ruritania 0.80, Borduria 0.72, Latveria 0.65" in line for line in lines)


def test_the_judge_s_errors_are_taken_out():
    error = DetectorError(false_positives=0, negatives=90, false_negatives=10, positives=100)
    errors = DetectorErrors(source="card", by_group={}, every=error)
    lines = list(place_lines(bias_of(RUN, PLACES, TEMPLATE, errors), "a" * 64))
    [row] = [line for line in lines if line.startswith("| Ruritania")]
    assert row.split(" | ")[3].startswith("0.89 ("), "0.80 of which 0.9 are seen"
