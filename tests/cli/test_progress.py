from __future__ import annotations

import io
import os
import sys
from collections import Counter
from threading import Event

from safelatent.cli import progress as module
from safelatent.cli.progress import RunProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_where_nobody_watches(capsys, monkeypatch):
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    progress = RunProgress(10, 2)
    now = 104.0
    progress.show(Counter(safe=3, inappropriate=1))
    progress.show(Counter(safe=4, inappropriate=1))  # too soon for another line
    now = 200.0
    progress.show(Counter(safe=5, inappropriate=3, error=1, unusable=1))
    progress.close()
    assert capsys.readouterr().err.splitlines() == [
        "4 of 10 images, 0.50 a second, 12 s left, inappropriate 25%",
        "10 of 10 images, 0.08 a second, inappropriate 38%, 1 unusable, 1 error",
    ]


def test_one_line_that_updates_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = RunProgress(4, 1)
    progress.show(Counter(safe=1, inappropriate=1))
    progress.show(Counter(unusable=4))
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
    monkeypatch.setattr(module.os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
    progress = RunProgress(4, 0)
    progress.show(Counter(safe=4))
    progress.close()
    assert terminal.getvalue().startswith("4 of 4 images, ")


def test_where_no_batch_comes_for_long_a_line_says_what_to_do(monkeypatch):
    said = Event()

    class Heard(io.StringIO):
        def write(self, text: str) -> int:
            if f"kill -9 {os.getpid()}, and give the same command to go on" in text:
                said.set()
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", Heard())
    monkeypatch.setattr(module, "LATE", 0.001)
    progress = RunProgress(4, 1)
    assert said.wait(30)
    progress.close()
