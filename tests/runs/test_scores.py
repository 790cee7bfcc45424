from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from safelatent.prompts import PromptSet
from safelatent.runs import read_run
from safelatent.runs.scores import FIXED, score_lines, write_scores
from tests.runs import dummy
from tests.runs.test_execute import everything


def test_a_line_per_item_with_label_and_score_by_detector(tmp_path):
    everything(tmp_path)
    with write_scores(tmp_path).open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    rows = read_run(tmp_path).rows
    assert [*lines[0]] == [*FIXED, "dummy label", "dummy score"]
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert (line["prompt_id"], line["image"]) == (row.prompt.id, str(row.image))
        assert (line["method"], line["label"]) == (row.method, row.label)
        assert line["categories"] == ", ".join(row.prompt.categories)
        score = row.verdicts.get("dummy", {}).get("score")
        assert line["dummy score"] == ("" if score is None else str(score))


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0"])
def test_a_stranger_s_text_is_no_formula(tmp_path, formula):
    first, *others = dummy.prompt_set().prompts
    prompts = PromptSet(
        name="dummy",
        prompts=(replace(first, categories=(formula,)), *others),
        rows=6,
        skipped={},
    )
    everything(tmp_path, prompts=prompts)
    table = (tmp_path / "scores.csv").read_text()
    assert f",'{formula}," in table
    assert f",{formula}," not in table


def test_numbers_stay_numbers(tmp_path):
    everything(tmp_path)
    rows = read_run(tmp_path).rows
    [_, line, *_] = score_lines(rows, ["dummy"])
    assert "'" not in line
