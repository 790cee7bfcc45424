"""docs/policy.md: its policy is valid, its reasons are all, its snippet and commands run."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from safelatent.cli import main
from safelatent.policy import Policy
from safelatent.policy.decision import MEANING

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/policy.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_its_policy_is_valid():
    whole, prompt, targets = blocks("toml")
    assert Policy.parse(tomllib.loads(whole)).categories["violence"] == "max"
    assert Policy.parse({"prompt": tomllib.loads(prompt)}).prompt.unsafe == ("toxic",)
    assert Policy.parse(tomllib.loads(targets)).targets.categories == {"sexual": 0.05}


def test_its_reasons_are_all_of_them():
    rows = re.findall(r"^\| ([a-z ]+) \| ([^|]+) \|$", PAGE, flags=re.MULTILINE)
    assert {name: text for name, text in rows if name in MEANING} == MEANING


@pytest.mark.slow
def test_its_snippet_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    exec(compile(blocks("python")[0], "docs/policy.md", "exec"), {})


@pytest.mark.slow
def test_its_commands_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    codes = [main(shlex.split(line)[1:]) for line in lines if "calibrate" not in line]
    assert codes[0] == 0
    assert set(codes) <= {0, 3}
