"""Geometry by its definition: a bar is as long as its share, a point stands at its numbers."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.evaluation.table1 import table1
from safelatent.generation.methods import METHODS
from safelatent.prompts import Prompt
from safelatent.reports import charts
from safelatent.reports.charts import LEFT, RIGHT, bar_chart, ticks, trade_off
from tests.evaluation.made_runs import made_run


def share(x: float) -> float:
    return (x - LEFT) / (RIGHT - LEFT)


def test_a_bar_is_as_long_as_its_share_and_its_line_as_its_interval(table):
    chart = bar_chart(table)
    assert [group.name for group in chart.groups] == ["overall", "hate", "violence"]
    for name, group in zip(["overall", "hate", "violence"], chart.groups, strict=True):
        for bar, (method, one) in zip(group.bars, table.entries[name].items(), strict=True):
            assert bar.colour == charts.VARIABLES[method]
            rate = one.probability
            found = [share(bar.end), share(bar.low), share(bar.high)]
            assert found == pytest.approx([rate.value, rate.low, rate.high], abs=1e-3)
            assert bar.value == f"{rate.value:.2f}"
            assert bar.few, "four prompts"


def test_bars_never_overlap_and_stay_inside(table):
    chart = bar_chart(table)
    places = [bar.y for group in chart.groups for bar in group.bars]
    assert min(b - a for a, b in itertools.pairwise(places)) >= 12
    assert 0 < places[0] < places[-1] < chart.height - charts.BOTTOM + charts.GAP


def test_enough_prompts_are_not_pale(tmp_path):
    prompts = [Prompt(text=f"text {n}", id=f"p-{n}") for n in range(10)]
    chart = bar_chart(table1(made_run(tmp_path, lambda _: "s", prompts, methods=("off",))))
    assert [bar.few for bar in chart.groups[0].bars] == [False]


def test_what_was_not_judged_has_no_bar(tmp_path):
    errors = table1(made_run(tmp_path, lambda _: "e"))
    assert [group.bars for group in bar_chart(errors).groups] == [(), (), ()]
    assert trade_off(errors) is None


def test_of_many_categories_those_of_most_prompts_have_bars(tmp_path):
    prompts = [
        Prompt(text=f"text {n}", id=f"p-{n}", categories=(f"kind {n % 20:02d}",)) for n in range(39)
    ]
    run = made_run(tmp_path, lambda _: "s", prompts, methods=("off",), images=1)
    chart = bar_chart(table1(run))
    assert [group.name for group in chart.groups] == [
        "overall",
        *(f"kind {n:02d}" for n in range(charts.MOST)),
    ]
    assert chart.left_out == 20 - charts.MOST


def at(ticks_, place: float) -> float:
    """The number at a place, from the first and the last line of the grid."""
    first, last = ticks_[0], ticks_[-1]
    low, high = (float(t.text.replace("\N{MINUS SIGN}", "-")) for t in (first, last))
    return low + (place - first.at) / (last.at - first.at) * (high - low)


def test_a_point_stands_at_its_distance_and_what_it_took_away(table):
    chart = trade_off(table)
    assert [point.name for point in chart.points] == ["off ⚠", "medium", "max ⚠"]
    off, *guarded = chart.points
    assert at(chart.across, off.x) == pytest.approx(0, abs=1e-2)
    assert off.y == chart.zero
    for point, method in zip(guarded, ("medium", "max"), strict=True):
        one = table.overall[method]
        assert at(chart.across, point.x) == pytest.approx(one.distance.value, abs=1e-2)
        assert at(chart.down, point.y) == pytest.approx(-one.difference.difference, abs=1e-2)
        ends = [at(chart.down, end) for end in point.down]
        assert ends == pytest.approx([-one.difference.low, -one.difference.high], abs=1e-2)
        assert charts.TOP <= min(point.down) < max(point.down) <= charts.HEIGHT


def test_names_lie_on_no_other_name(table):
    crowded = {
        method: replace(
            table.overall["medium"],
            distance=replace(table.overall["medium"].distance, value=0.2 + n / 200),
        )
        for n, method in enumerate(METHODS[1:])
    }
    entries = {"overall": {"off": table.overall["off"], **crowded}}
    points = trade_off(replace(table, entries=entries)).points
    boxes = [charts._box(len(point.name) * charts.LETTER, point.label) for point in points]
    for n, box in enumerate(boxes):
        assert charts._is_free(box, boxes[:n] + boxes[n + 1 :])


def test_without_pairs_there_is_no_trade_off(tmp_path):
    assert trade_off(table1(made_run(tmp_path, lambda _: "s", methods=("medium",)))) is None


@given(st.floats(-3, 3), st.floats(1e-4, 3))
def test_ticks_enclose_their_numbers_in_equal_round_steps(low, width):
    found = ticks(low, low + width)
    assert 2 <= len(found) <= 6
    step = found[1] - found[0]
    assert found[0] <= low + 1e-6 * step
    assert low + width <= found[-1] + 1e-6 * step
    digits = step / 10.0 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(digits - round_number) for round_number in (1, 2, 5)) < 1e-6
    for n, tick in enumerate(found):
        assert tick == pytest.approx(found[0] + n * step, abs=1e-6 * step)


def test_one_number_alone_has_ticks():
    assert len(ticks(0, 0)) >= 2


def test_what_took_nothing_away_is_always_on_the_plot(table):
    medium = table.overall["medium"]
    certain = replace(medium, difference=replace(medium.difference, low=-0.5, high=-0.2))
    entries = {"overall": {"off": table.overall["off"], "max": certain}}
    chart = trade_off(replace(table, entries=entries))
    assert at(chart.down, chart.zero) == pytest.approx(0, abs=1e-2)
    assert chart.down[0].text == "0.00"
