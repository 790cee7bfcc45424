from __future__ import annotations

import math

import pytest

from safelatent.audit.page import AuditPage, ShareBar, contrast_box, share_chart
from safelatent.metrics import Rate, against_others, wilson
from safelatent.reports import charts
from safelatent.reports.grid import Box, Grid

UNKNOWN = Rate(value=math.nan, low=0, high=1, n=0)


def rows(*rates: Rate):
    return [
        (f"g{n}", [ShareBar(of="off", colour="--off", rate=rate)]) for n, rate in enumerate(rates)
    ]


def test_a_bar_ends_where_its_share_is():
    chart = share_chart("t", "a", rows(wilson(0, 10), wilson(5, 10), wilson(10, 10)))
    ends = [group.bars[0].end for group in chart.groups]
    assert ends == [charts.LEFT, (charts.LEFT + charts.RIGHT) / 2, charts.RIGHT]
    assert all(bar.low <= bar.end <= bar.high for g in chart.groups for bar in g.bars)
    tops = [group.y for group in chart.groups]
    assert tops == sorted(tops)
    assert tops[-1] < chart.height


def test_what_is_unknown_has_no_bar():
    chart = share_chart("t", "a", rows(wilson(1, 2), UNKNOWN))
    assert [len(group.bars) for group in chart.groups] == [1, 0]


def test_a_contrast_in_a_box():
    box = contrast_box(against_others([9, 1, 1], [10, 10, 10])[0])
    assert box.text == "+0.80"
    assert box.details[1].startswith("p ")
    assert contrast_box(against_others([1], [2])[0]).text == "–"


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "a\u202eb"])
def test_everything_on_the_page_is_escaped(hostile):
    page = AuditPage(
        title=hostile,
        leads=[hostile],
        notices=[hostile],
        legend=[(hostile, "--off")],
        chart=share_chart(hostile, hostile, [(hostile, []), *rows(wilson(1, 2))]),
        caption=hostile,
        grid=Grid(
            name="g",
            title=hostile,
            note=hostile,
            columns=(hostile,),
            lines=((hostile, (Box(value=1, text=hostile),)),),
        ),
        beside=[hostile],
        settings=[(hostile, hostile)],
        explained={hostile: hostile},
    )
    html = page.html()
    assert hostile not in html
    assert html.count("<script>") == 1
