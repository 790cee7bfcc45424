"""docs/runs.md says what the code does: its arithmetic adds up, its settings and files are the
code's, its snippets run.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from safelatent import BadValueError
from safelatent.cli.bench import bench_run
from safelatent.generation.methods import METHODS
from safelatent.runs.engines.ray import TIMEOUT
from safelatent.runs.execute import draw
from safelatent.runs.prepare import check_warmups
from tests import tiny
from tests.runs import dummy

PAGE = (Path(__file__).parents[2] / "docs/runs.md").read_text(encoding="utf-8")


def number(pattern: str) -> float:
    found = re.search(pattern, PAGE)
    assert found is not None, pattern
    return float(found[1].replace(",", ""))


def test_the_arithmetic_adds_up():
    prompts, images = number(r"\| prompts \| ([\d,]+)"), number(r"\| images per prompt \| (\d+)")
    evaluations, seconds = (
        number(r"at 50 steps, summed over the methods \| (\d+)"),
        number(r"\| seconds per evaluation \| ([\d.]+)"),
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
    for _ in draw(tmp_path, dummy.settings(prompts), prompts, dummy.engine):
        pass
    listed = {
        name.rstrip("/") for name in re.findall(r"^\| `([\w./]+)` \|", PAGE, flags=re.MULTILINE)
    }
    assert listed == {path.name for path in tmp_path.iterdir()}


def test_an_hour_is_the_timeout():
    assert TIMEOUT == 60
    assert "no batch finishes for an hour (`--timeout`" in " ".join(PAGE.split())


def test_the_steps_that_presets_need_are_those_that_are_checked():
    pipe = tiny.pipeline()
    for method in ("weak", "medium", "strong"):
        steps = int(number(rf"\*{method}\*\s(?:needs\s)?(\d+)"))
        check_warmups(pipe, [method], steps)
        with pytest.raises(BadValueError, match=method):
            check_warmups(pipe, [method], steps - 1)


def test_the_commands_are_the_command_line_s():
    for command in re.findall(r"^ *safelatent bench run (.*)$", PAGE, flags=re.MULTILINE):
        options = {word for word in command.split() if word.startswith("--")}
        known = {f"--{name.replace('_', '-')}" for name in inspect.signature(bench_run).parameters}
        assert options <= known


def test_the_snippets_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    prompts = dummy.prompt_set()
    first, second = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    for _ in draw(tmp_path / "runs/quick", dummy.settings(prompts), prompts, dummy.engine):
        pass
    exec(compile(second, "runs.md", "exec"), {})
    assert "Rate(" in capsys.readouterr().out
    shorter = first.replace("images=2, limit=35", "images=1, limit=1, steps=14")
    exec(compile(shorter.replace("runs/quick", "runs/other"), "runs.md", "exec"), {})
    assert (tmp_path / "runs/other/scores.csv").is_file()
