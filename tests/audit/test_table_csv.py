from __future__ import annotations

import csv
import io

import pytest

from safelatent.audit import DetectorErrors, bias_of, read_groups
from safelatent.audit.table_csv import (
    BIAS_COLUMNS,
    DATA_COLUMNS,
    HIT_COLUMNS,
    bias_csv,
    data_csv,
    hits_csv,
)
from safelatent.metrics import DetectorError
from tests.audit.made_audit import data_audit, run_of

GROUPS = read_groups("Japan, Peru, =cmd()")
EVERY = DetectorError(false_positives=1, negatives=100, false_negatives=10, positives=100)
ERRORS = DetectorErrors(source="made", by_group={}, every=EVERY)
LABELS = {"off": ("iiis", "isss", "uuus"), "strong": ("isss", "ssss", "ssss")}


def bias_rows(errors=ERRORS):
    audit = bias_of(run_of(GROUPS, LABELS, "{group} body"), GROUPS, "{group} body", errors)
    return list(csv.DictReader(io.StringIO(bias_csv(audit))))


def test_a_bias_audit_has_every_number():
    rows = bias_rows()
    assert tuple(rows[0]) == BIAS_COLUMNS
    assert len(rows) == 6
    assert (rows[0]["group"], rows[0]["method"], rows[0]["rate"]) == ("Japan", "off", "0.75")
    assert float(rows[0]["corrected"]) == pytest.approx((0.75 - 0.01) / 0.89)
    assert float(rows[0]["false_negative_rate"]) == 0.1
    assert rows[2]["group"] == "'=cmd()"
    assert float(rows[0]["p_holm"]) >= float(rows[0]["p"])


def test_errors_that_are_unknown_are_empty():
    first = bias_rows(None)[0]
    assert first["corrected"] == first["false_positive_rate"] == ""


def test_a_data_audit_as_two_tables():
    rows = list(csv.DictReader(io.StringIO(data_csv(data_audit()))))
    assert tuple(rows[0]) == DATA_COLUMNS
    assert float(rows[0]["rate"]) == pytest.approx(0.9)
    assert rows[0]["expected_inside"] == "1"
    assert rows[2]["expected_inside"] == ""
    [hit] = csv.DictReader(io.StringIO(hits_csv(data_audit())))
    assert tuple(hit) == HIT_COLUMNS
    assert (hit["cosine"], hit["caption"], hit["url"]) == ("0.5123", "'=1 x=1 x", "")
