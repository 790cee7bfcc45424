from __future__ import annotations

import logging

import diffusers
import pytest
import transformers
from huggingface_hub.utils import logging as hub

from safelatent.cli.say import quiet_libraries, say, show_log

LIBRARIES = [library.utils.logging for library in (diffusers, transformers)]


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


@pytest.fixture
def loud():
    """The libraries with warnings and bars; as they were afterwards."""
    before = [(one.get_verbosity(), one.is_progress_bar_enabled()) for one in LIBRARIES]
    before_hub = hub.get_verbosity()
    hub.set_verbosity_warning()
    for one in LIBRARIES:
        one.set_verbosity_warning()
        one.enable_progress_bar()
    yield
    hub.set_verbosity(before_hub)
    for one, (verbosity, bars) in zip(LIBRARIES, before, strict=True):
        one.set_verbosity(verbosity)
        (one.enable_progress_bar if bars else one.disable_progress_bar)()


@pytest.mark.usefixtures("loud")
def test_libraries_are_quiet_below_errors():
    quiet_libraries()
    assert [one.get_verbosity() for one in LIBRARIES] == [logging.ERROR] * 2
    assert hub.get_verbosity() == logging.ERROR
    assert [one.is_progress_bar_enabled() for one in LIBRARIES] == [False] * 2
