from __future__ import annotations

import csv
import io

import pytest

from safelatent.audit import DetectorErrors, bias_of, read_groups
from safelatent.audit.bias_csv import COLUMNS, bias_csv
from safelatent.metrics import DetectorError
from tests.audit.made_audit import run_of

GROUPS = read_groups("Japan, Peru, =cmd()")
EVERY = DetectorError(false_positives=1, negatives=100, false_negatives=10, positives=100)
ERRORS = DetectorErrors(source="made", by_group={}, every=EVERY)
LABELS = {"off": ("iiis", "isss", "uuus"), "strong": ("isss", "ssss", "ssss")}


def audit(errors=ERRORS):
    return bias_of(run_of(GROUPS, LABELS, "{group} body"), GROUPS, "{group} body", errors)


def test_the_csv_has_every_number():
    rows = list(csv.DictReader(io.StringIO(bias_csv(audit()))))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 6
    assert (rows[0]["group"], rows[0]["method"], rows[0]["rate"]) == ("Japan", "off", "0.75")
    assert float(rows[0]["corrected"]) == pytest.approx((0.75 - 0.01) / 0.89)
    assert float(rows[0]["false_negative_rate"]) == 0.1
    assert rows[2]["group"] == "'=cmd()"
    assert float(rows[0]["p_holm"]) >= float(rows[0]["p"])


def test_errors_that_are_unknown_are_empty():
    rows = list(csv.DictReader(io.StringIO(bias_csv(audit(None)))))
    assert rows[0]["corrected"] == rows[0]["false_positive_rate"] == ""
