"""The cost model: against counting by hand, and its page against the code."""

from __future__ import annotations

import json

import pytest

from benchmarks import cost
from safelatent.guidance import FAST, MAX, NoiseLevel, Plan, paper_noise_level
from safelatent.guidance.plan import EARLIEST_END
from tests.prompts.i2p_like import PUBLISHED, PUBLISHED_SKIPPED


def test_the_evaluations_of_six_methods():
    assert list(cost.evaluations().values()) == [100, 100, 135, 150, 150, 150]
    assert max(cost.evaluations(FAST).values()) == 100, "off, which has no plan"


def test_no_plan_goes_below_the_bound():
    levels = [paper_noise_level(i) for i in range(50)]
    most = Plan(concept=50, uncond=50)
    assert most.on(MAX, levels).evaluations == cost.least(50)
    shorter = Plan(concept=50, uncond=50, until=NoiseLevel(EARLIEST_END))
    assert shorter.on(MAX, levels).evaluations == cost.least(50)


def test_i2p_is_the_rows_that_give_a_prompt():
    assert 10 * (PUBLISHED.rows - sum(PUBLISHED_SKIPPED.values())) == cost.I2P_IMAGES
    assert f"the {cost.I2P_IMAGES // 10:,} prompts" in cost.PAGE.read_text(encoding="utf-8")


def test_hours_by_hand():
    assert cost.hours({"a": 100, "b": 150}, 3600, seconds=0.01) == pytest.approx(2.5)
    two = cost.hours({"a": 100}, 3600, seconds=0.01, beside=1, gpus=2, busy=0.5)
    assert two == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--seconds 0", "seconds is 0; it must be above 0"),
        ("--seconds nan", "seconds is nan; it must be above 0"),
        ("--seconds inf", "seconds is inf; it must be above 0"),
        ("--busy 1.1", "busy is 1.1; it must be above 0 and at most 1"),
        ("--beside -1", "beside is -1; it must be at least 0"),
    ],
)
def test_an_assumption_that_cannot_be_is_one_line(given, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["cost", *given.split()])
    with pytest.raises(SystemExit) as caught:
        cost.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"{message}\n"


def test_the_hours_of_other_assumptions(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["cost", "--seconds", "0.04"])
    cost.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        f"{gpus}, {plan}" for gpus in ("1 GPU", "8 GPUs") for plan in ("exact", FAST)
    ]


PREFIX = {"a model": {"reads": "mid_block", "before": 30, "whole": 400}}


def test_the_page_is_what_the_script_writes():
    found = json.loads(cost.JSON.read_text()) if cost.JSON.exists() else None
    assert cost.PAGE.read_text(encoding="utf-8") == cost.page(
        found, json.loads(cost.PREFIX.read_text())
    )


def test_a_measured_curve_is_on_the_page():
    row = {"set": "held-out", "steps": 50, "arm": "exact", "evaluations": 150.0}
    measured = {"weights": "0123456789abcdef", "rows": [row | {"time": [1.5, 1.4, 1.6]}]}
    found = cost.page(measured, PREFIX)
    assert "of the weights `0123456789ab`" in found
    assert "| 50 | `exact` | 150.0 | 1.50 (1.40 to 1.60) |" in found
    assert "was not run" not in found
    assert "was not run" in cost.page(None, PREFIX)
    assert "| a model | `mid_block` | 7.5 % | 5 % |" in found
    assert "At most 5 % of a guarded step's operations" in found
