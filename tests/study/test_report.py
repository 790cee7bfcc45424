"""A study's report as files."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest

from safelatent.errors import BadValueError
from safelatent.study import StudyError, study_report, write_study_report
from safelatent.study.report import CSV_COLUMNS, as_csv, as_json, markdown, page
from tests.study.made_studies import answer, made_study, prefer


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    study = made_study(folder, 6, methods="off,medium,max", consent="Agree <b>now</b>.")
    for rater in range(1, 4):
        answer(study, rater, prefer("max", share=0.8, ties=0.1, seed=rater), 12)
    return study_report(study)


def test_the_four_files_are_written(report, tmp_path):
    files = write_study_report(report, tmp_path / "new/out")
    assert [file.name for file in files] == [
        "study.html",
        "study.md",
        "preferences.csv",
        "preferences.json",
    ]
    assert [file.read_text(encoding="utf-8") for file in files] == [
        page(report),
        markdown(report),
        as_csv(report),
        as_json(report),
    ]


def test_the_page_holds_everything_and_fetches_nothing(report):
    text = page(report)
    for words in ("Table 2, people: each method against off", "Bradley-Terry scores", "Raters"):
        assert words in text
    assert "Agree &lt;b&gt;now&lt;/b&gt;." in text
    assert "default-src 'none'" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "<img" not in text


def test_markdown_says_the_same(report):
    text = markdown(report)
    assert text.startswith("# What people prefer: off, medium, max\n")
    assert "### Table 2, people: each method against off" in text
    assert "| text alignment: max against medium |" in text
    assert "Agree \\<b\\>now\\</b\\>." in text


def test_csv_has_every_number_in_full(report):
    rows = list(csv.DictReader(io.StringIO(as_csv(report))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert len(rows) == len(report.preferences)
    for row, one in zip(rows, report.preferences, strict=True):
        assert (row["question"], row["method"]) == (one.question, one.method)
        assert int(row["votes"]) == one.votes
        assert float(row["share_low"]) == one.share.low
        assert float(row["p_prompts"]) == one.p_prompts
        known = row["alpha"] != ""
        assert known is not math.isnan(one.agreement.alpha)


def test_json_is_json_and_has_the_scores(report):
    def refuse(name):
        raise ValueError(name)

    values = json.loads(as_json(report), parse_constant=refuse)
    assert values["study"] == report.study.id
    assert set(values["scores"]["fidelity"]) == {"off", "medium", "max"}
    assert values["preferences"][0]["share"]["value"] == report.preferences[0].share.value
    assert [one["rater"] for one in values["raters"]] == [1, 2, 3]


def test_the_key_and_the_links_are_in_no_file(report):
    for text in (page(report), markdown(report), as_csv(report), as_json(report)):
        assert report.study.key not in text
        assert "/r/" not in text


def test_a_file_for_a_folder_is_refused(report, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadValueError, match="is not a folder; give another place"):
        write_study_report(report, tmp_path / "file/out")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safelatent.study.report.write_whole", full)
    with pytest.raises(StudyError, match="No space left on device"):
        write_study_report(report, tmp_path / "out")
