"""docs/testbed.md cannot drift: its snippet runs, its commands and tables are the code's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from typer.main import get_command

from safelatent.cli.main import app
from safelatent.testbed.build import CARD, TABLE
from safelatent.testbed.choice import FILE
from safelatent.testbed.embed import EMBEDDED, OPENAI_CLIP
from safelatent.testbed.keywords import KEYWORDS, keywords_of, read_keywords
from safelatent.testbed.scores import DETECTORS

PAGE = (Path(__file__).parents[2] / "docs/testbed.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    safelatent (.*)$", PAGE, flags=re.MULTILINE)


def test_the_snippet_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "captions.csv").write_text("caption\na panda with a knife\na cake\n")
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    found = {}
    exec(compile(snippet, "testbed.md", "exec"), found)
    choice = found["choice"]
    assert {prompt.text for prompt in choice.prompts} == {"a panda with a knife", "a cake"}
    assert len(choice.searches) == 26
    assert (tmp_path / "runs/mine" / FILE).is_file()


def test_every_command_is_one_of_the_command_line():
    """Options and arguments are read, nothing is run."""
    assert len(COMMANDS) == 2
    for call in COMMANDS:
        words, command = shlex.split(call), get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(call, words)


def test_every_option_is_one_of_the_command():
    options = {
        name
        for parameter in get_command(app).commands["testbed"].commands["build"].params
        for name in parameter.opts
    }
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) <= options


def test_the_numbers_of_keywords_are_the_codes():
    assert len(keywords_of(KEYWORDS)) == 26
    assert "each of 26 keywords" in PAGE
    for word in ("hateful symbols", "negative stereotypes", "bullying", "threats", "erotic"):
        assert word in PAGE.replace("\n", " ")
        assert any(word in texts for texts in KEYWORDS.values())


def test_the_forms_of_a_keyword_file_are_read(tmp_path):
    for ending in ("json", "toml"):
        (text,) = re.findall(rf"^\| \.{ending} \| `(.*)` \|$", PAGE, flags=re.MULTILINE)
        (tmp_path / f"k.{ending}").write_text(text)
        found = read_keywords(tmp_path / f"k.{ending}")
        assert [keyword.text for keyword in found][:2] == ["weapons", "a street fight"]


def test_the_files_and_columns_are_the_codes():
    for name in (TABLE, CARD, FILE, *DETECTORS, EMBEDDED, OPENAI_CLIP):
        assert f"`{name}`" in PAGE
