from __future__ import annotations

import io
import subprocess
import sys
from threading import Event

from tqdm import tqdm

from safelatent.cli import progress as module
from safelatent.cli.progress import ProgressBar, slow, step_lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch, capsys):
    steps = [(1, 2, "texts"), (2, 2, "texts"), (5, 5, "prompts", "3 hard")]
    with ProgressBar() as bar:
        for step in steps:
            bar.show(*step)
    assert capsys.readouterr().err == "2 of 2 texts\n5 of 5 prompts, 3 hard\n"
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with ProgressBar() as bar:
        for step in steps:
            bar.show(*step)
    assert "texts: 100%" in terminal.getvalue()
    assert "prompts: 100%" in terminal.getvalue()
    assert "3 hard" in terminal.getvalue()


def test_what_is_slow_is_said_once_and_what_is_not_is_not(monkeypatch, capsys):
    with slow("reading the run"):
        pass
    said = Event()
    monkeypatch.setattr(module, "say", lambda text: (print(text), said.set()))
    monkeypatch.setattr(module, "SLOW", 0.01)
    with slow("writing the report"):
        assert said.wait(30)
    assert capsys.readouterr() == ("writing the report ...\n", "")


def test_a_pipeline_without_a_terminal_prints_plain_lines(monkeypatch, capsys):
    monkeypatch.setattr(module, "EVERY", 0.0)
    with tqdm(total=3, **step_lines()) as bar:
        bar.update()
        bar.update(2)
    assert set(capsys.readouterr().err.splitlines()) >= {"step 1 of 3", "step 3 of 3"}
    monkeypatch.setattr(module, "EVERY", 30.0)
    for _ in tqdm([1, 2, 3], **step_lines()):
        pass
    assert capsys.readouterr().err == "", "a call that is soon done prints none"


def test_no_bar_is_imported_before_one_is_made():
    code = "import sys, safelatent.cli; print('tqdm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
