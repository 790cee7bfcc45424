from __future__ import annotations

import io
import os
import sys
from threading import Event

import pytest

from safelatent.cli import watch as module
from safelatent.cli.watch import RunProgress, watch_run
from safelatent.errors import BadValueError
from safelatent.runs import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def state(planned: int = 10, **counts: int) -> Progress:
    return Progress(counts=counts, planned=planned)


def test_plain_lines_if_nobody_watches(capsys, monkeypatch):
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    progress = RunProgress()
    progress.show(state(safe=2))
    now = 104.0
    progress.show(state(safe=3, inappropriate=1))
    progress.show(state(safe=4, inappropriate=1))  # too soon for another line
    now = 200.0
    progress.show(state(safe=5, inappropriate=3, error=1, unusable=1))
    progress.close()
    assert capsys.readouterr().err.splitlines() == [
        "resuming: 2 of 10 images were saved before",
        "4 of 10 images, 0.50 per second, 12 s left, inappropriate 25%",
        "10 of 10 images, 0.08 per second, inappropriate 38%, 1 unusable, 1 error",
    ]


def test_one_line_that_updates_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = RunProgress()
    progress.show(state(4))
    progress.show(state(4, safe=1, inappropriate=1))
    progress.show(state(4, unusable=4))
    progress.close()
    shown = terminal.getvalue()
    assert shown.count("\n") == 1, "the last line is left where it is"
    assert "4/4" in shown.split("\r")[-1]
    assert "none judged, 4 unusable" in shown.split("\r")[-1]


def test_plain_lines_on_a_terminal_without_room(monkeypatch):
    """A line that updates would be as wide as the terminal: nothing at all."""
    terminal = Terminal()
    monkeypatch.setattr(terminal, "fileno", lambda: 2, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
    progress = RunProgress()
    progress.show(state(4))
    progress.show(state(4, safe=4))
    progress.close()
    assert terminal.getvalue().startswith("4 of 4 images, ")


def test_if_no_batch_comes_for_long_a_line_says_what_to_do(monkeypatch):
    said = Event()

    class Heard(io.StringIO):
        def write(self, text: str) -> int:
            if f"kill -9 {os.getpid()} and run the same command again to resume" in text:
                said.set()
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", Heard())
    monkeypatch.setattr(module, "LATE", 0.001)
    progress = RunProgress()
    progress.show(state(4, safe=1))
    assert said.wait(30)
    progress.close()


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (119, "119 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_spans_are_rounded_to_what_matters(seconds, words):
    assert module._span(seconds) == words


def test_bad_values_are_refused_before_anything_heavy_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "quiet_libraries", lambda: 1 / 0)
    with pytest.raises(BadValueError, match="images is 0"):
        watch_run("embedded-i2p", tmp_path, images=0)


def test_a_run_that_was_stopped_before_it_began_says_so(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("safelatent.runs.execute.run", interrupted)
    monkeypatch.setattr(module, "quiet_libraries", lambda: None)
    monkeypatch.setattr(sys, "argv", ["safelatent", "bench", "run"])
    with pytest.raises(KeyboardInterrupt):
        watch_run("embedded-i2p", tmp_path / "run")
    assert (
        "stopped: 0 images saved; resume with:\n  safelatent bench run" in capsys.readouterr().err
    )
