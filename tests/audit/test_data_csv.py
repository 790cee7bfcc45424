from __future__ import annotations

import csv
import io

import pytest

from safelatent.audit.data_csv import COLUMNS, HIT_COLUMNS, data_csv, hits_csv
from tests.audit.made_audit import data_audit


def test_the_tables_as_csv():
    rows = list(csv.DictReader(io.StringIO(data_csv(data_audit()))))
    assert tuple(rows[0]) == COLUMNS
    assert float(rows[0]["rate"]) == pytest.approx(0.9)
    assert rows[0]["expected_inside"] == "1"
    assert rows[2]["expected_inside"] == ""
    [hit] = csv.DictReader(io.StringIO(hits_csv(data_audit())))
    assert tuple(hit) == HIT_COLUMNS
    assert (hit["cosine"], hit["caption"], hit["url"]) == ("0.5123", "'=1 x=1 x", "")
