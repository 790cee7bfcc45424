"""docs/study.md cannot drift: its snippet runs, its commands, files and figures are the code's."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

from typer.main import get_command

from safelatent.cli.main import app
from safelatent.study import StudySettings, folder, session, study_report, write_study_report
from safelatent.study.plan import QUESTIONS
from safelatent.study.tables import EXPLAINED
from tests.study.made_studies import answer, made_study, prefer
from tests.study.test_plan import comparisons

PAGE = (Path(__file__).parents[2] / "docs/study.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    safelatent (.*)$", PAGE, flags=re.MULTILINE)
STUDY = get_command(app).commands["study"].commands


def test_the_snippet_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    study = made_study(tmp_path / "made", 3)
    answer(study, 1, prefer("max"))
    Path("studies").mkdir()
    study.folder.rename("studies/quality")
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(snippet, "study.md", "exec"), {})
    assert capsys.readouterr().out == (
        "fidelity: max against off: 1.00\nalignment: max against off: 1.00\n"
    )


def test_every_command_is_one_of_the_command_line():
    assert len(COMMANDS) == 5
    for call in COMMANDS:
        words, command = shlex.split(call), get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(call, words)


def test_every_option_is_one_of_the_commands():
    known = (*STUDY.values(), get_command(app).commands["report"])
    options = {name for one in known for part in one.params for name in part.opts}
    ours = re.sub(r"python -m benchmarks[^`>]*", "", PAGE)  # whose options are others
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", ours))
    assert named <= options
    listed = set(re.findall(r"--[a-z]+", PAGE.split("| option |")[1].split("\n\n")[0]))
    assert listed == {
        name for part in STUDY["create"].params for name in part.opts if name.startswith("--")
    } - {"--out"}


def test_its_defaults_are_the_codes():
    defaults = {one.name: one.default for one in fields(StudySettings)}
    assert f"distinct pairs per rater ({defaults['pairs']})" in PAGE
    assert f"sees twice ({defaults['repeats']})" in PAGE
    for question in QUESTIONS:
        assert f"`{question}`" in PAGE


def test_its_files_are_those_that_are_written(tmp_path):
    study = made_study(tmp_path, 3)
    answer(study, 1, prefer("max"))
    for file in write_study_report(study_report(study), tmp_path / "out"):
        assert f"`{file.name}`" in PAGE
    for name in (folder.PLAN, folder.PRIVATE, folder.ANSWERS, folder.LINKS):
        assert f"| `{name}` |" in PAGE


def test_its_numbers_are_those_of_the_report():
    rows = re.findall(r"^\| ([^|]+) \|", PAGE.split("| number |")[1], flags=re.MULTILINE)
    terms = [row.lower() for row in rows[: len(EXPLAINED)]]
    assert terms == [term.lower() for term in EXPLAINED]


def test_its_sizes_follow():
    settings = StudySettings(methods="off,strong")
    deck = comparisons(200)
    assert len(session(settings, deck, 1)) == 33
    assert "| pages per rater, `--pairs 30 --repeats 0.1` | 33 |" in PAGE
    pages = [one for rater in range(1, 21) for one in session(settings, deck, rater)]
    seen = [one.comparison for one in pages if not one.repeat]
    assert {seen.count(n) for n in range(200)} == {3}
    assert "| raters until every pair has three votes | 20 |" in PAGE
