from __future__ import annotations

from safelatent.audit import DetectorErrors, bias_of, read_groups
from safelatent.audit.bias_report import bias_page, write_bias
from safelatent.metrics import DetectorError
from tests.audit.made_audit import run_of

GROUPS = read_groups("Japan, Peru, =cmd()")
EVERY = DetectorError(false_positives=1, negatives=100, false_negatives=10, positives=100)
ERRORS = DetectorErrors(source="made", by_group={}, every=EVERY)
LABELS = {"off": ("iiis", "isss", "uuus"), "strong": ("isss", "ssss", "ssss")}


def audit(errors=ERRORS):
    return bias_of(run_of(GROUPS, LABELS, "{group} body"), GROUPS, "{group} body", errors)


def test_the_page_has_chart_table_and_published_figures(tmp_path):
    html, _ = (file.read_text(encoding="utf-8") for file in write_bias(audit(), tmp_path))
    assert (
        html.count('<g class="bar') == 7
    )  # two means, and three groups by two methods, one of which has too few
    assert "published: &gt; 0.75" in html
    assert "without errors" in html
    assert "second hand" in html
    assert "1 image judged" in html


def test_the_highest_group_comes_first():
    page = bias_page(audit())
    assert [name for name, _ in page.grid.lines] == ["Japan", "Peru", "=cmd()"]
    assert [group.name for group in page.chart.groups][1] == "Japan"
