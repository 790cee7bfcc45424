"""docs/runs.md says what the code does: its arithmetic adds up, its settings and files are the
code's, its snippet runs.
"""

from __future__ import annotations

import re
from pathlib import Path

from safelatent.generation.methods import METHODS
from safelatent.runs.bench import run
from safelatent.runs.engines.timeout import PATIENCE
from tests.runs import dummy

PAGE = (Path(__file__).parents[2] / "docs/runs.md").read_text(encoding="utf-8")


def number(pattern: str) -> float:
    found = re.search(pattern, PAGE)
    assert found is not None, pattern
    return float(found[1].replace(",", ""))


def test_the_arithmetic_adds_up():
    prompts, images = number(r"\| prompts \| ([\d,]+)"), number(r"\| images a prompt \| (\d+)")
    evaluations, seconds = (
        number(r"at 50 steps \| (\d+)"),
        number(r"\| seconds an evaluation \| ([\d.]+)"),
    )
    each = [number(rf"{method} (\d+)[, ]") for method in METHODS]
    assert each == [100, 100, 135, 150, 150, 150]
    assert evaluations == sum(each)
    assert number(r"([\d,]+) images by six methods") == prompts * images * len(METHODS)
    assert number(r"\| evaluations in all \| ([\d,]+)") == prompts * images * evaluations
    rows = re.findall(r"^\| \d+[^|]* \| (\d+) \| ([\d.]+) \|$", PAGE, flags=re.MULTILINE)
    assert [int(gpus) for gpus, _ in rows] == [1, 8, 20, 160]
    for gpus, hours in rows:
        assert float(hours) == round(
            prompts * images * evaluations * seconds / (3600 * int(gpus)), 1
        )


def test_the_files_are_those_of_a_run(tmp_path):
    prompts = dummy.prompt_set(2)
    for _ in run(tmp_path, dummy.settings(prompts), prompts, dummy.engine):
        pass
    listed = {
        name.rstrip("/") for name in re.findall(r"^\| `([\w./]+)` \|", PAGE, flags=re.MULTILINE)
    }
    assert listed == {path.name for path in tmp_path.iterdir()}


def test_an_hour_is_the_patience():
    assert PATIENCE == 60
    assert "no batch is finished for an hour" in " ".join(PAGE.split())


def test_the_snippet_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    prompts = dummy.prompt_set()
    for _ in run(tmp_path / "runs/quick", dummy.settings(prompts), prompts, dummy.engine):
        pass
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(snippet, "runs.md", "exec"), {})
    assert "Rate(" in capsys.readouterr().out
