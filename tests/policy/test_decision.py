from __future__ import annotations

from dataclasses import replace
from typing import get_args

from safelatent.policy.decision import MEANING, Attempt, Check, Outcome, PolicyReceipt, Reason


def test_every_reason_is_explained():
    assert set(MEANING) == set(get_args(Reason))


def test_what_a_classifier_or_a_pipeline_raises_is_not_published():
    """It may quote the prompt, which the audit log conceals."""
    said = "ValueError: 'a secret prompt'"
    failed = Check(name="classifier", label="error", message=said)
    stopped = Attempt(seed=1, receipt=None, reason="not guardable", message=said)
    receipt = PolicyReceipt(
        outcome="refused",
        reason="checker failed",
        message=f"classifier: {said}",
        policy={"name": "", "hash": "0"},
        request={},
        effective={"hash": "0"},
        prompt_checks=(failed,),
        attempts=(stopped, stopped),
    )
    assert "secret" not in str(receipt.facts)
    assert receipt.facts["retries"] == [{"safety": None, "seed": 1, "reason": "not guardable"}]
    assert receipt.as_dict()["prompt_checks"][0]["message"] == failed.message


def test_a_receipt_is_shown_in_a_few_lines():
    checks = (Check(name="prompt", label="safe", score=0.1, threshold=0.9),)
    receipt = PolicyReceipt(
        outcome="refused",
        reason="output refused",
        message=MEANING["output refused"],
        policy={"name": "", "hash": "0123456789abcdef"},
        request={},
        effective={},
        prompt_checks=checks,
        attempts=(Attempt(seed=1, receipt=None, reason="not guardable", message="no"),),
    )
    lines = str(receipt).splitlines()
    assert lines[0].startswith("refused: the image was flagged")
    assert lines[1:] == ["policy: 0123456789ab", "checks: prompt safe"]
    assert receipt.receipt is None
    assert receipt.as_dict()["attempts"][0]["message"] == "no"
    assert set(get_args(Outcome)) >= {receipt.outcome}
    odd = replace(receipt, policy={"name": "\x1b[2J\npassed", "hash": "0"})
    assert str(odd).splitlines()[1] == "policy: \\x1b[2J passed"
