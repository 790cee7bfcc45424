"""``python -m safelatent`` is the command."""

from __future__ import annotations

import subprocess
import sys

import pytest

import safelatent


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [(["--version"], 0, f"safelatent {safelatent.__version__}"), (["nothing"], 2, "nothing")],
    ids=str,
)
def test_it_runs_the_command_line(arguments, code, said):
    done = subprocess.run(
        [sys.executable, "-m", "safelatent", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert said in done.stdout + done.stderr
