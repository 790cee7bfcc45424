from __future__ import annotations

import pytest

from safelatent.provenance.audit_log import AuditLog
from safelatent.provenance.comparing import compared, contradicted
from safelatent.provenance.png import disclosure_of, read_disclosure
from safelatent.provenance.receipt import System, new_receipt
from tests.detectors.tiny_detectors import drawn

ID = "00000000-0000-4000-8000-000000000000"
RECEIPT = new_receipt(
    drawn(1)[0],
    {"safety": "off", "receipt": None, "prompt": "a cat", "seed": 1},
    identity=ID,
    provider="Example Ltd",
    system=System(name="Paintbox", version="2"),
)
LOGGED = {name: value for name, value in RECEIPT.items() if name != "prompt"}
STATED = read_disclosure(disclosure_of(RECEIPT))


@pytest.fixture
def log(tmp_path):
    return AuditLog(file=tmp_path / "log")


def compare(log, receipt: dict, **concealed) -> tuple[str, str]:
    record = {"receipt": LOGGED, "prompt": log.conceal("a cat")} | concealed
    (found,) = compared(receipt, {"record": record}, log)
    assert found.mark == "log"
    return found.state, found.words


def contradict(disclosure: dict, logged: dict = LOGGED, **options) -> list[tuple[str, str]]:
    found = contradicted(disclosure, logged, **{"other_text": False} | options)
    return [(one.state, one.words) for one in found]


def test_a_receipt_is_as_it_was_logged_or_what_differs_is_named(log):
    assert compare(log, RECEIPT) == ("holds", "the receipt is as it was logged")
    for name, value in (("seed", 2), ("prompt", "a dog"), ("steps", 3), ("provider", None)):
        state, words = compare(log, RECEIPT | {name: value})
        assert (state, words) == ("broken", f"the receipt is not as it was logged: {name}")


@pytest.mark.parametrize(
    ("concealed", "said"),
    [
        (5, "not as it was logged: prompt"),
        (["text"], "not as it was logged: prompt"),
        ({}, "comparing the prompt needs the log's key"),
        ({"hmac-sha256": 1}, "comparing the prompt needs the log's key"),
    ],
)
def test_a_prompt_in_a_form_that_is_not_ours_is_never_the_receipts(log, concealed, said):
    assert said in compare(log, RECEIPT, prompt=concealed)[1]


def test_a_disclosure_that_says_what_was_logged_or_a_part_of_it_contradicts_nothing():
    assert contradict(STATED) == contradict({"system": "Paintbox"}) == contradict({}) == []


@pytest.mark.parametrize("name", STATED)
def test_every_field_of_a_disclosure_that_was_not_logged_is_named(name):
    words = f"the disclosure is not as it was logged: {name}"
    assert contradict(STATED | {name: "another"}) == [("broken", words)]
    assert contradict({name: "another"}) == [("broken", words)]


def test_an_entry_that_no_seal_wrote_vouches_for_no_disclosure():
    ((state, _),) = contradict(STATED, {"id": ID, "image": {"sha256": "x"}})
    assert state == "broken"
    assert contradict({}, {"id": ID, "image": {"sha256": "x"}}) == []


def test_a_text_in_the_receipts_place_is_not_what_was_logged():
    words = "what the file says of itself is not the receipt that was logged"
    assert contradict(STATED, other_text=True) == [("broken", words)]
