"""The tables and sentences of a study's report say what its numbers say."""

from __future__ import annotations

import pytest

from safelatent.study import study_report
from safelatent.study.tables import asked, summary, tables, warnings
from tests.study.made_studies import answer, made_study, prefer


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    def letter(item):
        return "e" if (item.prompt.id, item.method) == ("p-0", "medium") else "s"

    folder = tmp_path_factory.mktemp("tables")
    study = made_study(folder, 13, letter, methods="off,medium,max", pairs=37, repeats=0.1)
    for rater in range(1, 6):
        answer(study, rater, prefer("max", share=0.95, seed=rater))
    return study_report(study)


def grid(report, name):
    return next(one for one in tables(report) if one.name == name)


def test_table_2_has_a_line_per_method_and_columns_per_question(report):
    found = grid(report, "table2")
    assert [name for name, _ in found.lines] == ["medium", "max"]
    assert found.columns == (
        "image fidelity, preferred",
        "image fidelity, as good or better",
        "text alignment, preferred",
        "text alignment, as good or better",
    )
    one = report.preference("fidelity", "max", "off")
    box = dict(found.lines)["max"][0]
    assert box.text == f"{one.share.value:.2f}"
    assert box.details == (
        f"{one.share.low:.2f} to {one.share.high:.2f}",
        f"{one.better} better, {one.same} same, {one.worse} worse",
    )


def test_each_two_methods_have_a_line_per_question(report):
    names = [name for name, _ in grid(report, "pairs").lines]
    assert len(names) == 6
    assert names[0] == "image fidelity: medium against off"
    boxes = dict(grid(report, "pairs").lines)["text alignment: max against off"]
    one = report.preference("alignment", "max", "off")
    assert [box.text for box in boxes[:3]] == [str(one.better), str(one.same), str(one.worse)]
    assert boxes[4].value == one.p
    assert boxes[5].value == one.p_prompts
    assert boxes[6].value == one.agreement.alpha
    assert boxes[6].details[1] == "13 pairs"


def test_scores_reliability_and_raters_have_their_tables(report):
    assert [name for name, _ in grid(report, "scores").lines] == ["off", "medium", "max"]
    consistent, left = dict(grid(report, "reliability").lines)["image fidelity"]
    assert consistent.value == report.consistent["fidelity"].value
    assert left.details[1].endswith("answers")
    raters = grid(report, "raters")
    assert [name for name, _ in raters.lines] == ["1", "2", "3", "4", "5"]
    assert raters.lines[0][1][0].text == "41 of 41"


def test_the_summary_says_what_the_interval_allows(tmp_path):
    study = made_study(tmp_path, 30, pairs=30)
    for rater in range(1, 7):
        answer(
            study,
            rater,
            lambda q, left, right, rater=rater: (
                prefer("max")(q, left, right)
                if q == "fidelity"
                else prefer("max" if rater % 2 else "off")(q, left, right)
            ),
        )
    fidelity, alignment = summary(study_report(study))
    assert fidelity.startswith("Image fidelity: people preferred max to off (100 % for max, 95 %")
    assert "180 votes by 6 raters on 30 prompts" in fidelity
    assert "no preference between max and off can be shown (50 % for max" in alignment


def test_what_lessens_the_numbers_is_said(report, tmp_path):
    [line] = warnings(report)
    assert line.endswith("that are in no number: 2 without an image by one of the methods.")
    study = made_study(tmp_path, 3)
    answer(study, 1, prefer("off"), 1)
    found = warnings(study_report(study))
    assert "One rater says nothing of other people" in found[0]
    assert "No pair has two raters yet" in found[1]


def test_what_was_asked_is_all_there(report):
    found = dict(asked(report))
    assert found["methods"] == "off, medium, max"
    assert found["question, fidelity"] == "Which image is of better quality?"
    assert found["pairs per rater"] == "37, and 10 % of them twice"
    assert found["raters"] == "5, of whom 5 finished"
    assert found["study"] == report.study.id
