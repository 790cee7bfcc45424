"""The page on plans: its code runs, its printed plan and its numbers are the package's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from safelatent.guidance import EXACT, PRESETS, STRONG, NoiseLevel, Plan, paper_noise_level
from safelatent.guidance.plan import EARLIEST_END

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
    assert len(rows) == 4
    for settings, text in rows:
        assert Plan.parse(text) == eval(f"Plan({settings})")
