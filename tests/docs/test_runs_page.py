"""docs/runs.md says what the code does: its arithmetic adds up, its settings and files are the
code's, its snippets run.
"""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest

from benchmarks import cost
from safelatent import BadValueError
from safelatent.cli import main
from safelatent.cli.bench import bench_run
from safelatent.generation.methods import METHODS
from safelatent.runs.engines.ray import TIMEOUT
from safelatent.runs.execute import draw
from safelatent.runs.prepare import check_warmups
from tests import tiny
from tests.prompts.i2p_like import PUBLISHED, PUBLISHED_SKIPPED
from tests.runs import dummy

DOCS = Path(__file__).parents[2] / "docs"
PAGE, REPORT = ((DOCS / name).read_text(encoding="utf-8") for name in ("runs.md", "report.md"))


def number(pattern: str) -> float:
    found = re.search(pattern, PAGE)
    assert found is not None, pattern
    return float(found[1].replace(",", ""))


def test_the_arithmetic_adds_up():
    prompts, images = number(r"I2P gives ([\d,]+) prompts"), number(r"At (\d+) images per prompt")
    assert prompts == PUBLISHED.rows - sum(PUBLISHED_SKIPPED.values())
    drawn = prompts * images * len(METHODS)
    assert number(r"six methods draw ([\d,]+) images") == drawn
    assert number(r"([\d,]+) PNG files") == drawn
    assert number(r"images by ([\d,]+)\sevaluations") == prompts * images * sum(
        cost.evaluations().values()
    )
    hours = cost.hours(cost.evaluations(), int(prompts * images), gpus=160, **cost.ASSUMED)
    assert round(drawn / (3600 * hours), -1) == 50
    assert "160 GPUs deliver some fifty of them per second" in PAGE
    assert number(r"stopped: \d+ of (\d+) images") == 35 * 2 * len(METHODS)


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
    shorter = first.replace("images=2, limit=35", 'methods="off,max", images=1, limit=1, steps=14')
    exec(compile(shorter.replace("runs/quick", "runs/other"), "runs.md", "exec"), {})
    assert (tmp_path / "runs/other/scores.csv").is_file()


def samples(page: str) -> list[str]:
    """The page's scripts in their order, but for those that need a model or a cluster."""
    found = re.findall(r"```(?:sh|python)\n(.*?)```", page, flags=re.DOTALL)
    return [one for one in found if "FOLDER" not in one and "ray start" not in one]


@pytest.mark.slow
def test_the_samples_run_one_after_the_other(tmp_path, monkeypatch):
    """As a reader gives them, in a fresh folder and with those on reports; of few prompts."""
    monkeypatch.chdir(tmp_path)
    scripts = [*samples(PAGE), *samples(REPORT)]
    assert len(scripts) == 6
    for script in scripts:
        if "import " in script:
            exec(compile(script.replace("limit=35", "limit=1, steps=30"), "a page", "exec"), {})
            continue
        for line in script.splitlines():
            fewer = line.replace("--limit 35", "--limit 1 --steps 30")
            fewer = fewer.replace("--limit 70", "--limit 2 --steps 30")
            assert main(shlex.split(fewer)[1:]) == 0, line
    assert {path.name for path in Path("reports/both").iterdir()} >= {"report.html", "report.md"}
