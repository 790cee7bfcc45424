from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import typer

from safelatent import GuardError
from safelatent.cli import app, main
from safelatent.cli import main as entry


def commands() -> dict[str, Any]:
    """Every command by its words."""
    found = {}
    todo = {"": typer.main.get_command(app)}
    while todo:
        name, command = todo.popitem()
        if hasattr(command, "commands"):
            todo |= {f"{name} {word}".strip(): c for word, c in command.commands.items()}
        else:
            found[name] = command
    return found


def test_the_commands_are_there(capsys):
    names = [
        "attack",
        "audit bias",
        "audit data",
        "audit log",
        "bench fidelity",
        "bench run",
        "card",
        "check",
        "convert-inception",
        "convert-q16",
        "generate",
        "policy calibrate",
        "policy schema",
        "policy show",
        "report",
        "study create",
        "study report",
        "study serve",
        "testbed build",
        "verify",
    ]
    assert sorted(commands()) == names
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name.partition(" ")[0] in shown for name in names)
    assert main([]) == 0
    assert capsys.readouterr().out == shown


def test_help_and_version_load_nothing_heavy():
    code = (
        "import sys; from safelatent.cli import main; main(['--help']); main(['--version']);"
        "heavy = {'torch', 'numpy', 'PIL', 'diffusers', 'transformers', 'jinja2', 'pyarrow'};"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert shown[-1] == "[]"
    assert shown[-2].startswith("safelatent 0.")


MINE = ("generate", "check", "convert-q16", "verify", "audit log")


@pytest.mark.parametrize("name", MINE)
def test_every_option_says_what_it_does(name):
    """A sentence: it begins with a capital or a value, and ends in a full stop."""
    for option in commands()[name].params:
        help_text = getattr(option, "help", None)
        if option.name != "help":
            assert help_text, f"{name} {option.name} has no help"
            assert help_text.endswith("."), f"{name} {option.name}: {help_text!r}"


FAILURES = {
    "a refusal": (GuardError("no step was\nguided"), 2, "safelatent: no step was guided\n"),
    "a full disk": (OSError(28, "No space left", "x.png"), 2, "safelatent: x.png: No space left\n"),
    "a disk without a name": (OSError("gone"), 2, "safelatent: input or output: gone\n"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_is_one_line(case, monkeypatch, capsys):
    error, code, message = FAILURES[case]

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(sys.modules[entry.__module__], "app", Named(fail))
    assert main(["generate", "x"]) == code
    assert capsys.readouterr() == ("", message)


class Named:
    """The application's name, and another call."""

    info = app.info

    def __init__(self, call) -> None:
        self.call = call

    def __call__(self, *args, **kwargs):
        return self.call(*args, **kwargs)


def test_an_interrupt_has_its_own_code(monkeypatch, capsys):
    monkeypatch.setattr(sys.modules[entry.__module__], "app", Named(lambda *_, **__: 130))
    assert main(["generate", "x"]) == 130
    assert "every file that was written is complete" in capsys.readouterr().err


def test_an_interrupt_before_a_command_has_begun_is_one_line_too(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[entry.__module__], "app", Named(interrupted))
    assert main(["generate", "x"]) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_an_interrupt_while_the_commands_are_imported_is_one_line():
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'safelatent.cli.study': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "import safelatent.cli"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "safelatent: interrupted\n")


def test_a_reader_that_went_away_is_no_traceback():
    code = "import sys; from safelatent.cli import main; sys.exit(main(['generate', '--help']))"
    # The reading end is closed before anything is written.
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode in (0, 1)
    assert b"Traceback" not in errors


def test_an_unknown_command_points_to_the_help(capsys):
    assert main(["generat"]) == 2
    assert capsys.readouterr().err.endswith("; see safelatent --help\n")
