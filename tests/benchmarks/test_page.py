"""Measured parts of pages: written between their marks, which every page has."""

from __future__ import annotations

import pytest

from benchmarks import data_world, gate_table, places, study

PARTS = [data_world.PART, gate_table.PART, places.PART, study.PART]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_lines_take_the_place_of_those_between_the_marks(part, tmp_path):
    text = part.page.read_text(encoding="utf-8")
    copy = tmp_path / "page.md"
    copy.write_text(text, encoding="utf-8")
    begin, end = part.marks
    assert (text.count(begin), text.count(end)) == (1, 1), "the page has the marks"
    for _ in range(2):
        part.write(["one", "two"], copy)
        written = copy.read_text(encoding="utf-8")
        assert written.split(begin)[1].split(end)[0] == "\none\ntwo\n"
        assert written.split(begin)[0] == text.split(begin)[0]
        assert written.split(end)[1] == text.split(end)[1]


def test_a_page_that_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    part, copy = study.PART, tmp_path / "page.md"
    text = part.page.read_text(encoding="utf-8")
    copy.write_text(text, encoding="utf-8")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        part.write(["one"], copy)
    assert copy.read_text(encoding="utf-8") == text
