"""docs/guard.md cannot drift: its scripts run, and what it promises and refuses is the code's."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from safelatent import errors, guard, load
from safelatent.errors import UnsupportedError
from tests import tiny

PAGE = (Path(__file__).parents[2] / "docs/guard.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def safe():
    return guard(tiny.pipeline(), "max")


def row(start: str) -> str:
    return next(line for line in PAGE.splitlines() if line.startswith(f"| {start}"))


def names(text: str) -> list[str]:
    return re.findall(r"`(?:pipe\.)?(\w+)`", text)


def test_it_has_its_scripts():
    assert len(SNIPPETS) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2))
def test_its_scripts_run(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(SNIPPETS[number], f"docs/guard.md, script {number}", "exec"), {})


@pytest.mark.parametrize(
    "name",
    [
        *names(row("read").split("|")[2]),
        *names(row("call a method").split("|")[2]),
        *names(row("`pipe.safety`").split("|")[1]),
    ],
)
def test_what_it_promises_is_there(safe, name):
    assert hasattr(safe, name)


def test_what_it_says_is_the_guards_own_is_refused(safe):
    own = names(row("setting what is the guard's own").split("|")[1])
    assert len(own) == 6
    for name in own:
        with pytest.raises(UnsupportedError, match="is the guard's own"):
            setattr(safe, name, None)


def test_the_errors_that_it_names_exist():
    section = PAGE.split("## What is refused")[1].split("## Loading")[0]
    named = {name for line in section.splitlines() for name in re.findall(r"`(\w+Error)`", line)}
    assert len(named) >= 5
    assert all(hasattr(errors, name) for name in named - {"AttributeError", "TypeError"})


def test_the_arguments_of_load_are_its_own():
    section = PAGE.split("## Loading")[1]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    named = {name for line in rows for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    known = set(inspect.signature(load).parameters) | {"dtype", "torch_dtype"}
    assert named == known - {"name", "options"}
