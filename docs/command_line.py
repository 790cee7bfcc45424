"""Writes ``command-line.md`` from the command line's own help: ``python docs/command_line.py``. A
test compares.
"""

import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from typer.main import get_command

from safelatent.cli import app, main

PAGE = Path(__file__).with_name("command-line.md")


def commands(tree: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command below ``tree``, by its words; a group is none."""
    if not hasattr(tree, "commands"):
        yield words
        return
    for name, below in tree.commands.items():
        yield from commands(below, (*words, name))


def shown(command: tuple[str, ...]) -> str:
    """The help of a command, as a terminal of 110 columns without colours shows it."""
    plain = {"COLUMNS": "110", "TERM": "dumb", "NO_COLOR": "1"}
    with patch.dict(os.environ, plain), redirect_stdout(StringIO()) as printed:
        assert main([*command, "--help"]) == 0
    return printed.getvalue()


def page() -> str:
    """The page as it should be."""
    parts = ["# The command line", "", "Made by `python docs/command_line.py`."]
    for command in ((), *commands(get_command(app))):
        parts += [
            "",
            f"## safelatent {' '.join(command)}".rstrip(),
            "",
            "```",
            *(line.rstrip() for line in shown(command).strip().splitlines()),
            "```",
        ]
    parts += [
        "",
        "Exit codes: 0 done; 1 `check` found a picture that is not safe, `card --gate` a run that",
        "falls short, `verify` or `audit log` something that does not hold; 2 bad input, an image",
        "would have been unguarded, or a file could not be written; 3 a policy refused an image,",
        "`verify` found nothing that vouches for the picture, or the log is empty; 4 `verify`",
        "found a similar picture in the log; 130 interrupted.",
        "Images go to `--out`; each PNG holds, under the key `safelatent`, the JSON that `--json`",
        "prints: its receipt. A sheet also holds the box of each of its pictures there.",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
