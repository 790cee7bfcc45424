from __future__ import annotations

import errno
import os
import sys

import pytest

from safelatent import BadValueError, storage
from safelatent.evaluation.report import report_of
from safelatent.reports import page, write
from safelatent.reports.write import write_report
from safelatent.runs import RunError
from tests.evaluation.made_runs import made_run


def test_three_files_and_the_same_bytes_again(tmp_path):
    report = report_of(made_run(tmp_path / "run"))
    first = [file.read_bytes() for file in write_report(report, tmp_path / "run")]
    second = write_report(
        report_of(made_run(tmp_path / "again" / "run")), tmp_path / "out" / "deep"
    )
    assert [file.name for file in second] == ["report.html", "report.md", "table1.csv"]
    again = [file.read_bytes() for file in second]
    assert [text.replace(b"/again/run", b"/run") for text in again] == first


def test_half_a_character_is_written_as_its_number(tmp_path):
    report = report_of(made_run(tmp_path, evidence="seen \ud83d"))
    page = write_report(report, tmp_path)[0].read_text(encoding="utf-8")
    assert "seen \\ud83d" in page


def test_a_full_disk_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    report = report_of(made_run(tmp_path / "run"))

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device; choose another folder with --out"):
        write_report(report, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    report = report_of(made_run(tmp_path / "run"))
    (tmp_path / "out").write_text("")
    for folder in (tmp_path / "out", tmp_path / "out" / "deep"):
        with pytest.raises(BadValueError, match="is not a folder; give another place"):
            write_report(report, folder)


def test_where_the_page_fails_nothing_is_written(tmp_path, monkeypatch):
    report = report_of(made_run(tmp_path / "run"))
    before = set((tmp_path / "run").iterdir())

    def broken(*_):
        raise RunError("an image that leads outside the run")

    monkeypatch.setattr(page, "thumbnail", broken)
    with pytest.raises(RunError, match="leads outside"):
        write_report(report, tmp_path / "run")
    assert set((tmp_path / "run").iterdir()) == before


def test_a_report_needs_no_extra(tmp_path, monkeypatch):
    for name in ("matplotlib", "pyarrow", "nudenet", "ray", "detoxify"):
        monkeypatch.setitem(sys.modules, name, None)
    assert len(write_report(report_of(made_run(tmp_path)), tmp_path)) == 3


def test_the_page_is_written_as_it_is_made(tmp_path, monkeypatch):
    found: list[bool] = []

    def parts(_report):
        yield "begun"
        found.append(bool(list((tmp_path / "out").glob(".report.html.*.tmp"))))

    monkeypatch.setattr(write, "page", parts)
    write_report(report_of(made_run(tmp_path / "run")), tmp_path / "out")
    assert found == [True]
