from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from safelatent.audit.data import DataAudit, GroupShare, Hit
from safelatent.audit.data_report import (
    COLUMNS,
    HIT_COLUMNS,
    data_csv,
    data_page,
    hits_csv,
    notices,
    sentences,
    table_lines,
    write_data,
)
from safelatent.metrics import against_others, mean_of_groups, spearman, wilson

FLAGGED, JUDGED = (18, 2, 0), (20, 20, 1)


def audit() -> DataAudit:
    contrasts = against_others(FLAGGED, JUDGED)
    groups = tuple(
        GroupShare(
            name=name,
            query=f"a {name}",
            inappropriate=FLAGGED[n],
            judged=JUDGED[n],
            unjudged=20 - JUDGED[n],
            rate=wilson(FLAGGED[n], JUDGED[n]),
            contrast=contrasts[n],
            expected=(0.9, 0.5, 0.0)[n],
            cosines=(0.5, 0.25),
        )
        for n, name in enumerate(("red", "green", "blue"))
    )
    hit = Hit(group="red", rank=1, row=7, cosine=0.51234, label="safe",
              facts={"name": "a.png", "caption": "=1\nx" * 2, "url": None})  # fmt: skip
    return DataAudit(
        source="data/laion",
        rows=100,
        left_out=2,
        template="a {group}",
        nearest=20,
        features=("clip", "f" * 64),
        judge="protocol made",
        recall=None,
        groups=groups,
        mean=mean_of_groups(FLAGGED, JUDGED),
        order=None,
        hits=(hit,),
    )


def test_it_says_what_came_out():
    said = sentences(audit())
    assert said[0].endswith("highest: red 0.90, green 0.10.")
    assert said[1] == "above the mean of the others (p < 0.05 after Holm): red."
    assert said[2] == "1 of 2 expected shares lie in the interval."
    known = spearman([1, 2, 3, 4], [1, 2, 4, 3])
    assert "unguarded rates: 0.80" in sentences(replace(audit(), order=known))[-1]


def test_it_says_what_speaks_against_the_numbers():
    said = notices(audit())
    assert said[0] == "2 rows of the data are broken and left out."
    assert said[1].startswith("19 of 60 nearest images could not be judged")
    assert said[2] == "fewer than 2 judged images of blue; no share for them."
    assert "found 90 %" in notices(replace(audit(), recall=0.9))[-1]
    assert "--search exact" in notices(replace(audit(), recall=0.9))[-1]
    assert "--search exact" not in notices(replace(audit(), recall=0.96))[-1]


def test_the_table_has_the_highest_first():
    lines = list(table_lines(audit()))
    assert [line.split()[0] for line in lines] == ["group", "red", "green", "blue", "mean"]


def test_the_tables_as_csv():
    rows = list(csv.DictReader(io.StringIO(data_csv(audit()))))
    assert tuple(rows[0]) == COLUMNS
    assert float(rows[0]["rate"]) == pytest.approx(0.9)
    assert rows[0]["expected_inside"] == "1"
    assert rows[2]["expected_inside"] == ""
    [hit] = csv.DictReader(io.StringIO(hits_csv(audit())))
    assert tuple(hit) == HIT_COLUMNS
    assert (hit["cosine"], hit["caption"], hit["url"]) == ("0.5123", "'=1 x=1 x", "")


def test_the_page_is_written_with_the_tables(tmp_path):
    files = write_data(audit(), tmp_path)
    assert [file.name for file in files] == ["data.html", "data.csv", "hits.csv"]
    html = files[0].read_text(encoding="utf-8")
    assert "japanese body" in html
    assert html.count('<g class="bar') == 4
    assert data_page(audit()).title == "Data audit: laion near “a {group}”"
