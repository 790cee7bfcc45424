"""The page on plans: its code runs, its printed plan and its numbers are the package's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import plans_page
from safelatent.guidance import EXACT, FAST, PRESETS, STRONG, NoiseLevel, Plan, paper_noise_level
from safelatent.guidance.evaluations import OVERDUE
from safelatent.guidance.plan import EARLIEST_END
from safelatent.models import EMBEDDED, model_digest
from safelatent.pipelines.classic.evaluating import ELSEWHERE, JOINED_UP_TO

PAGE = (Path(__file__).parents[2] / "docs/plans.md").read_text(encoding="utf-8")
LEVELS = [paper_noise_level(i) for i in range(50)]


@pytest.mark.slow
def test_the_code_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/plans.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "evaluations by the plan concept=5,until=0.603" in printed
    assert "concept       +====" in printed


def test_the_printed_plan():
    plan = Plan(concept=5, until=NoiseLevel(paper_noise_level(25)))
    shown = "\n".join(f"    {line}" for line in str(plan.on(STRONG, LEVELS)).splitlines())
    assert shown in PAGE


def test_its_numbers_and_texts():
    counts = [EXACT.on(sld, LEVELS).evaluations for sld in PRESETS.values()]
    assert counts == [135, 150, 150, 150]
    assert f"{EARLIEST_END:.3f}" in PAGE
    rows = re.findall(r"^\| `(\w+=.*?)` \| .* \| `(.*)` \|$", PAGE, re.MULTILINE)
    assert len(rows) == 5
    for settings, text in rows:
        assert Plan.parse(text) == eval(f"Plan({settings})")


def test_what_it_says_of_fast():
    assert f"`{FAST}`: 80 evaluations for 50 steps and 32 for 20" in PAGE
    assert FAST.on(STRONG, LEVELS).evaluations == 80
    assert f"{JOINED_UP_TO['cpu']:,} positions on a CPU, {ELSEWHERE:,}" in PAGE
    assert OVERDUE == 4
    assert "every fourth time" in PAGE


def test_it_says_whether_the_figures_are_of_the_weights_in_the_package():
    measured = json.loads(plans_page.JSON.read_text(encoding="utf-8"))["weights"]
    earlier = measured != model_digest(EMBEDDED)
    assert (f"earlier weights, `{measured[:12]}`" in " ".join(PAGE.split())) == earlier
    assert ("with earlier weights of the embedded model" in " ".join(PAGE.split())) == earlier
