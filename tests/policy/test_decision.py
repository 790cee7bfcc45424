from __future__ import annotations

from typing import get_args

from safelatent.policy.decision import MEANING, Attempt, Check, Outcome, PolicyReceipt, Reason


def test_every_reason_is_explained():
    assert set(MEANING) == set(get_args(Reason))


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
        attempts=(Attempt(seed=1, receipt=None, message="no"),),
    )
    lines = str(receipt).splitlines()
    assert lines[0].startswith("refused: the image was flagged")
    assert lines[1:] == ["policy: 0123456789ab", "checks: prompt safe"]
    assert receipt.receipt is None
    assert receipt.as_dict()["attempts"][0]["message"] == "no"
    assert set(get_args(Outcome)) >= {receipt.outcome}
