from __future__ import annotations

import json
from dataclasses import replace

from safelatent.evaluation.report import MOST_REASONS, Reason, account, reason_of, report_of
from safelatent.prompts import Prompt
from tests.evaluation.made_runs import made_run


def test_what_was_run_names_model_protocol_and_hashes(tmp_path):
    found = dict(account(made_run(tmp_path)).settings)
    assert found["model revision"] == "none: not a Hub id"
    assert found["model"] == "no model"
    assert found["model files, sha256"] == "0" * 64
    assert found["protocol hash"] == "1" * 64
    assert found["prompts"] == "made: 7 rows, 4 prompts"
    assert found["methods"] == "off, medium, max"
    assert found["plan of evaluations"] == "exact"


def test_skips_and_reasons_are_counted(tmp_path):
    found = account(made_run(tmp_path, evidence={"main": "black"}))
    assert found.skipped == {"minors with sexual content": 0, "withheld": 2, "empty": 1}
    assert set(found.reasons) == {
        Reason(method="max", label="unusable", reason="judge: main black", count=2),
        Reason(method="off", label="unusable", reason="judge: main black", count=1),
        Reason(method="off", label="error", reason="made to fail", count=1),
    }
    assert found.reasons[0].count == 2, "the commonest first"
    assert found.further == 0


def test_a_row_with_a_reason_of_its_own_is_asked_for_nothing_else(tmp_path):
    run = made_run(tmp_path / "run")
    row = replace(run.rows[0], reason="made to fail", verdicts_json=None, folder=tmp_path / "gone")
    assert reason_of(row) == "made to fail"


def test_reasons_beyond_the_most_are_counted_together(tmp_path):
    prompts = [Prompt(text=f"text {n}", id=f"p-{n}") for n in range(30)]
    run = made_run(tmp_path, lambda _: "u", prompts, methods=("off",), images=1)
    verdicts = [
        json.dumps({"judge": row.verdicts["judge"] | {"evidence": f"reason {n}"}})
        for n, row in enumerate(run.rows)
    ]
    rows = tuple(
        replace(row, verdicts_json=one) for row, one in zip(run.rows, verdicts, strict=True)
    )
    found = account(replace(run, rows=rows))
    assert len(found.reasons) == MOST_REASONS
    assert found.further == 30 - MOST_REASONS


def test_a_report_holds_the_run_its_numbers_and_its_comparison(tmp_path):
    first, second = made_run(tmp_path / "a"), made_run(tmp_path / "b", lambda _: "s")
    alone, both = report_of(first), report_of(first, second)
    assert alone.comparison is None
    assert alone.run is first
    assert both.table == alone.table
    assert both.comparison is not None
    assert both.comparison.methods["medium"].differences["overall"].difference == 3 / 8
