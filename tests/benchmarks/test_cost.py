"""The cost model: against counting by hand, and its page against the code."""

from __future__ import annotations

import json

import pytest

from benchmarks import cost
from safelatent.guidance import FAST, MAX, NoiseLevel, Plan, paper_noise_level
from safelatent.guidance.plan import EARLIEST_END


def test_the_evaluations_of_six_methods():
    assert list(cost.evaluations().values()) == [100, 100, 135, 150, 150, 150]
    assert max(cost.evaluations(FAST).values()) == 100, "off, which has no plan"


def test_no_plan_goes_below_the_bound():
    levels = [paper_noise_level(i) for i in range(50)]
    most = Plan(concept=50, uncond=50)
    assert most.on(MAX, levels).evaluations == cost.least(50)
    shorter = Plan(concept=50, uncond=50, until=NoiseLevel(EARLIEST_END))
    assert shorter.on(MAX, levels).evaluations == cost.least(50)


def test_hours_by_hand():
    assert cost.hours({"a": 100, "b": 150}, 3600, seconds=0.01) == pytest.approx(2.5)
    two = cost.hours({"a": 100}, 3600, seconds=0.01, beside=1, gpus=2, busy=0.5)
    assert two == pytest.approx(2.0)
    for wrong in ({"seconds": 0}, {"seconds": 1, "busy": 1.1}, {"seconds": 1, "beside": -1}):
        with pytest.raises(ValueError, match="must be above 0"):
            cost.hours({"a": 1}, 1, **wrong)


PREFIX = {"a model": {"reads": "mid_block", "before": 30, "whole": 400}}


def test_the_page_is_what_the_script_writes():
    found = json.loads(cost.JSON.read_text()) if cost.JSON.exists() else None
    assert cost.PAGE.read_text(encoding="utf-8") == cost.page(
        found, json.loads(cost.PREFIX.read_text())
    )


def test_a_measured_curve_is_on_the_page():
    row = {"set": "held-out", "steps": 50, "arm": "exact", "evaluations": 150.0}
    found = cost.page({"rows": [row | {"time": [1.5, 1.4, 1.6]}]}, PREFIX)
    assert "| 50 | `exact` | 150.0 | 1.50 (1.40 to 1.60) |" in found
    assert "was not run" not in found
    assert "was not run" in cost.page(None, PREFIX)
    assert "| a model | `mid_block` | 7.5 % | 5 % |" in found
    assert "At most 5 % of a guarded step's operations" in found
