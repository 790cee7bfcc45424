from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from safelatent.cli.say import say, show_log


@pytest.fixture
def log():
    """The package's log, as it was afterwards."""
    log = logging.getLogger("safelatent")
    before = log.handlers, log.level, log.propagate
    yield log
    log.handlers, log.propagate = before[0], before[2]
    log.setLevel(before[1])


def test_lines_go_to_standard_error(capsys):
    say("a line")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "a line\n")


def test_the_log_is_printed_once_and_warnings_are_notes(capsys, log):
    for _ in range(2):
        show_log()
    runs = logging.getLogger("safelatent.runs")
    runs.info("%d prompts", 7)
    runs.warning("%d images are missing", 2)
    runs.debug("nothing")
    assert capsys.readouterr().err == "7 prompts\nnote: 2 images are missing\n"


def test_libraries_are_quiet_below_errors():
    code = """
from safelatent.cli.say import quiet_libraries
quiet_libraries()
import diffusers, transformers, logging
print(diffusers.utils.logging.get_verbosity() == transformers.utils.logging.get_verbosity()
      == logging.ERROR, diffusers.utils.logging.is_progress_bar_enabled())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
