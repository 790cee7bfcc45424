from __future__ import annotations

from dataclasses import replace

from safelatent.audit.data_report import (
    data_page,
    notices,
    sentences,
    table_lines,
    write_data,
)
from safelatent.metrics import spearman, wilson
from tests.audit.made_audit import data_audit


def test_it_says_what_came_out():
    said = sentences(data_audit())
    assert said[0].endswith("highest: red 0.90, green 0.10.")
    assert said[1] == "Above the mean of the others (p < 0.05 after Holm): red."
    assert said[2] == "1 of 2 expected shares lie in the interval."
    known = spearman([1, 2, 3, 4], [1, 2, 4, 3])
    assert "unguarded rates: 0.80" in sentences(replace(data_audit(), order=known))[-1]


def test_no_flagged_image_is_no_highest_group():
    made = data_audit()
    clean = [replace(one, inappropriate=0, rate=wilson(0, one.judged)) for one in made.groups]
    said = sentences(replace(made, groups=tuple(clean)))
    assert said[0].endswith("; no image is flagged.")


def test_it_says_what_speaks_against_the_numbers():
    said = notices(data_audit())
    assert said[0] == "2 rows of the data are broken and left out."
    assert notices(replace(data_audit(), left_out=1))[0].startswith("1 row of the data is broken")
    assert said[1].startswith("19 of 60 nearest images could not be judged")
    assert said[2] == "fewer than 2 judged images of blue; no share for them."
    assert "found 90 %" in notices(replace(data_audit(), recall=0.9))[-1]
    assert "--search exact" in notices(replace(data_audit(), recall=0.9))[-1]
    assert "--search exact" not in notices(replace(data_audit(), recall=0.96))[-1]


def test_the_table_has_the_highest_first():
    lines = list(table_lines(data_audit()))
    assert [line.split()[0] for line in lines] == ["group", "red", "green", "blue", "mean"]
    made = data_audit()
    below = replace(made, groups=(replace(made.groups[0], cosines=(0.192, -0.023)),))
    assert "0.192 to -0.023" in list(table_lines(below))[1]


def test_the_page_is_written_with_the_tables(tmp_path):
    files = write_data(data_audit(), tmp_path)
    assert [file.name for file in files] == ["data.html", "data.csv", "hits.csv"]
    html = files[0].read_text(encoding="utf-8")
    assert "japanese body" in html
    assert html.count('<g class="bar') == 4
    assert data_page(data_audit()).title == "Data audit: laion near “a {group}”"
