from __future__ import annotations

import json
from dataclasses import replace

from safelatent.evaluation.account import MOST_REASONS, Reason, account
from safelatent.prompts import Prompt
from tests.evaluation.made_runs import made_run


def test_what_was_run_names_model_protocol_and_hashes(tmp_path):
    told = dict(account(made_run(tmp_path)).settings)
    assert told["model revision"] == "none: no Hub id"
    assert told["model"] == "no model"
    assert told["model files, sha256"] == "0" * 64
    assert told["protocol hash"] == "1" * 64
    assert told["prompts"] == "made: 7 rows, 4 prompts"
    assert told["methods"] == "off, medium, max"


def test_skips_and_reasons_are_counted(tmp_path):
    told = account(made_run(tmp_path, evidence={"main": "black"}))
    assert told.skipped == {"minors with sexual content": 0, "withheld": 2, "empty": 1}
    assert set(told.reasons) == {
        Reason(method="max", label="unusable", reason="judge: main black", count=2),
        Reason(method="off", label="unusable", reason="judge: main black", count=1),
        Reason(method="off", label="error", reason="made to fail", count=1),
    }
    assert told.reasons[0].count == 2, "the commonest first"
    assert told.further == 0


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
    told = account(replace(run, rows=rows))
    assert len(told.reasons) == MOST_REASONS
    assert told.further == 30 - MOST_REASONS
