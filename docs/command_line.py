"""Writes ``command-line.md`` from the command line's own help: ``python docs/command_line.py``. A
test compares.
"""

import os
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from safelatent.cli import main

PAGE = Path(__file__).with_name("command-line.md")
COMMANDS = (
    (),
    ("generate",),
    ("check",),
    ("convert-q16",),
    ("convert-inception",),
    ("verify",),
    ("policy", "show"),
    ("policy", "calibrate"),
    ("policy", "schema"),
    ("bench", "run"),
    ("bench", "fidelity"),
    ("report",),
    ("card",),
    ("testbed", "build"),
    ("study", "create"),
    ("study", "serve"),
    ("study", "report"),
    ("audit", "bias"),
    ("audit", "data"),
    ("audit", "log"),
)


def shown(command: tuple[str, ...]) -> str:
    """The help of a command, as a terminal of 110 columns without colours shows it."""
    plain = {"COLUMNS": "110", "TERM": "dumb", "NO_COLOR": "1"}
    with patch.dict(os.environ, plain), redirect_stdout(StringIO()) as printed:
        assert main([*command, "--help"]) == 0
    return printed.getvalue()


def page() -> str:
    """The page as it should be."""
    parts = ["# The command line", "", "Made by `python docs/command_line.py`."]
    for command in COMMANDS:
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
