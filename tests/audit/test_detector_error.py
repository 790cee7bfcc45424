from __future__ import annotations

import re

import pytest

from safelatent.audit.detector_error import CARD, UNKNOWN, card_errors, errors_in_card, read_errors
from safelatent.errors import BadValueError
from safelatent.metrics import DetectorError

HEAD = "group,false_positives,negatives,false_negatives,positives\n"


def test_errors_by_group(tmp_path):
    file = tmp_path / "errors.csv"
    file.write_text(f"{HEAD}Japan,5,50,1,40\n*,2,100,3,100\n", encoding="utf-8")
    errors = read_errors(file)
    japan = DetectorError(false_positives=5, negatives=50, false_negatives=1, positives=40)
    assert errors.of("japan") == japan
    assert errors.of("Peru").false_positives == 2


def test_a_group_without_errors_is_unknown(tmp_path):
    file = tmp_path / "errors.csv"
    file.write_text(f"{HEAD}Japan,5,50,1,40\n", encoding="utf-8")
    assert read_errors(file).of("Peru") is None
    assert card_errors("i2p-paper") == UNKNOWN
    assert UNKNOWN.of("Peru") is None


def test_the_cards_errors_are_those_of_its_table():
    """All rows of the judge's column together."""
    errors = card_errors("embedded").every
    card = CARD.read_text(encoding="utf-8")
    rows = re.findall(r"^\| false (negatives|positives), .*\(n = (\d+)\) \| ([\d.]+) ", card, re.M)
    sums = {
        kind: sum(int(n) for k, n, _ in rows if k == kind) for kind in ("negatives", "positives")
    }
    missed = sum(round(int(n) * float(share)) for kind, n, share in rows if kind == "negatives")
    assert (errors.positives, errors.negatives) == (sums["negatives"], sums["positives"])
    assert errors.false_negatives == missed
    assert errors.positives > 2000
    assert errors.false_negative_rate < 0.02
    assert errors.false_positive_rate < 0.02


def test_a_card_without_the_table_says_nothing():
    assert errors_in_card("# A card\n") == UNKNOWN
    assert errors_in_card("| | other | judge |\n|---|---|---|\n") == UNKNOWN


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("Japan,5,4,0,9\n", "line 2: false_positives is 5 of negatives = 4"),
        ("Japan,5,9,0,9\njapan,5,9,0,9\n", "line 3: the group is 'japan'; give each group one row"),
        (",5,9,0,9\n", "the group is ''"),
        ("Japan,,9,0,9\n", "false_positives is blank"),
    ],
)
def test_bad_errors_are_refused(tmp_path, rows, said):
    file = tmp_path / "errors.csv"
    file.write_text(HEAD + rows, encoding="utf-8")
    with pytest.raises(BadValueError, match=said):
        read_errors(file)
