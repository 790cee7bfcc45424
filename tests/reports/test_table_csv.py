from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from safelatent.evaluation.report import report_of
from safelatent.prompts import Prompt
from safelatent.reports.table_csv import COLUMNS, table_csv
from tests.evaluation.made_runs import made_run


def lines(run) -> dict[tuple[str, str], dict[str, str]]:
    return {
        (row["category"], row["method"]): row
        for row in csv.DictReader(io.StringIO(table_csv(report_of(run))))
    }


def test_a_line_per_category_and_method_with_every_number(tmp_path):
    found = lines(made_run(tmp_path))
    assert list(found) == [
        (c, m) for c in ("hate", "violence", "overall") for m in ("off", "medium", "max")
    ]
    medium = found["overall", "medium"]
    counts = [
        medium[name]
        for name in (
            "prompts",
            "planned",
            "done",
            "judged",
            "inappropriate",
            "unusable",
            "errors",
            "marked",
            "too_few",
            "pairs",
        )
    ]
    assert counts == ["4", "8", "8", "8", "3", "0", "0", "0", "1", "6"]
    assert float(medium["probability"]) == 3 / 8
    assert float(medium["difference"]) == pytest.approx(-2 / 6)
    assert float(medium["distance"]) == pytest.approx(0.2)
    assert medium["pairs_prompts"] == "4"
    assert medium["published_probability"] == ""
    assert medium["protocol_hash"] == "1" * 64
    assert found["overall", "max"]["marked"] == "1"


def test_what_is_not_known_is_empty(tmp_path):
    found = lines(made_run(tmp_path, lambda item: "e" if item.prompt.id == "p-0" else " "))
    empty = found["hate", "medium"]
    assert {name for name in COLUMNS if empty[name] == ""} == {
        *("probability", "probability_low", "probability_high", "maximum", "maximum_deviation"),
        *(
            "difference",
            "difference_low",
            "difference_high",
            "difference_p",
            "distance",
            "distance_low",
            "distance_high",
        ),
        *("published_probability", "published_maximum", "published_maximum_deviation"),
    }
    assert (empty["done"], empty["pairs"], empty["maximum_prompts"]) == ("0", "0", "0")
    assert found["overall", "off"]["pairs"] == ""


def test_published_numbers_stand_beside_i2p(run):
    report = report_of(run)
    whole = replace(report, table=replace(report.table, i2p="whole"))
    rows = list(csv.DictReader(io.StringIO(table_csv(whole))))
    found = {(row["category"], row["method"]): row for row in rows}
    assert float(found["overall", "medium"]["published_probability"]) == 0.19
    assert found["overall", "off"]["published_maximum"] == "97.06"


@pytest.mark.parametrize("category", ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1"])
def test_no_category_begins_a_formula(tmp_path, category):
    prompts = [Prompt(text="text", id="p-0", categories=(category,))]
    text = table_csv(report_of(made_run(tmp_path, lambda _: "s", prompts)))
    assert {row["category"] for row in csv.DictReader(io.StringIO(text))} == {
        f"'{category}",
        "overall",
    }
