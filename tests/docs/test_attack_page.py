"""docs/attack.md cannot drift: its commands, defaults and layers are the code's."""

from __future__ import annotations

import inspect
import re
import shlex
from dataclasses import replace
from pathlib import Path

from safelatent.attack import AttackSettings
from safelatent.attack.folder import AttackFolder
from safelatent.attack.settings import LAYERS
from safelatent.attack.words import WORDS_SHARE
from safelatent.cli.attack import attack
from tests.attack.dummy_target import PROMPTS
from tests.attack.test_numbers import made

PAGE = (Path(__file__).parents[2] / "docs/attack.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())


def test_its_commands_are_the_command_lines():
    options = {f"--{name.replace('_', '-')}" for name in inspect.signature(attack).parameters}
    calls = re.findall(r"^safelatent attack.*$", PAGE, flags=re.MULTILINE)
    assert len(calls) == 2
    named = {word for call in calls for word in shlex.split(call) if word.startswith("--")}
    named |= set(re.findall(r"`(--[a-z-]+)`", PAGE))
    assert named <= options


def test_its_defaults_and_layers_are_the_codes():
    settings = AttackSettings()
    assert f"The defaults are {settings.prompts} prompts of `embedded-i2p`" in WORDS
    assert f"at most {settings.queries} queries per prompt" in WORDS
    assert f"for {WORDS_SHARE:.0%} of the budget".replace("%", " %") in WORDS
    assert f"(`{settings.output_check}` by default)" in WORDS
    assert len(settings.defences) == 8
    table = PAGE.split("## The defences")[1].split("\n## ")[0]
    assert tuple(re.findall(r"^\| ([a-z ]+?) \|", table, flags=re.MULTILINE)) == (
        "layers",
        *LAYERS,
    )


def test_its_snippet_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = replace(AttackSettings(), queries=2)
    asked = made({"guidance": 30, "all three": 0})
    with AttackFolder(Path("runs/attack"), settings, PROMPTS, asked.facts) as store:
        for defence in settings.defences:
            layers = replace(defence, guidance="exact")
            for prompt in PROMPTS:
                store.save(defence, prompt.id, asked.queries[layers][prompt.id])
    [snippet] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(snippet, "docs/attack.md", "exec"), {})
    assert capsys.readouterr().out == "[('exact', True), ('adaptive', True)]\n"
