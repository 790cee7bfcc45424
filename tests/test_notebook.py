"""What a notebook shows: of a guarded pipeline, of a receipt, and of a refusal."""

from __future__ import annotations

import atexit
import sys
from types import ModuleType

import pytest

from safelatent import guard, load
from tests import tiny

pytest.importorskip("IPython", reason="IPython is not installed")


@pytest.fixture(scope="module")
def shell():
    """IPython's shell, which is what a notebook's kernel runs cells with."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "nocolor"
    # A module of its own: by default the shell takes the place of __main__ in this process, and
    # later tests that start processes look there.
    main = sys.modules["__main__"]
    shell = InteractiveShell(config=settings, user_module=ModuleType("notebook"))
    assert sys.modules["__main__"] is main
    pipe = tiny.pipeline()
    shell.user_ns |= {"pipe": pipe, "safe": guard(pipe, "strong"), "guard": guard, "load": load}
    yield shell
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()
    del sys.modules["notebook"]


@pytest.fixture
def run(shell, capsys):
    """Run a cell; what it printed, and its value as a notebook shows it, by mime type."""

    def cell(code: str) -> tuple[str, dict[str, str]]:
        value = shell.run_cell(code).result
        shown = {} if value is None else shell.display_formatter.format(value)[0]
        return capsys.readouterr().out, shown

    return cell


def test_a_guarded_pipeline_fits_three_lines_and_has_a_table(run):
    _, shown = run("safe")
    assert shown["text/plain"].startswith("Guarded(StableDiffusionPipeline, safety='strong',\n")
    assert len(shown["text/plain"].splitlines()) <= 3
    assert shown["text/html"].startswith("<table><tr><th>guarded</th>")


def test_a_receipt_is_readable_and_has_a_table(run):
    out, shown = run(
        "receipt = safe('a cat', num_inference_steps=14).receipts[0]\nprint(receipt)\nreceipt"
    )
    lines = out.splitlines()
    assert lines[0] == "guided: 7 of 14 steps, 42 evaluations"
    assert max(map(len, lines[:4])) <= 100
    assert shown["text/html"].startswith("<table>")
    assert "7 of 14" in shown["text/html"]


REFUSED = {
    "in a call": (
        "safe('a cat', num_inference_steps=4)",
        "NotGuardedError: the warm-up is 7 steps and the call has 4",
    ),
    "of a preset": ("guard(pipe, 'stong')", "BadValueError: unknown safety 'stong'"),
    "of a name": ("load('/nowhere')", "BadValueError: unknown model '/nowhere'"),
    "of a broken folder": ("load('.')", "UnsupportedError: . has no model_index.json"),
    "of an attribute": ("safe.concept = 'x'", "UnsupportedError: 'concept' is the guard's own"),
}


@pytest.mark.parametrize(("code", "message"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_short_and_its_cause_is_last(run, tmp_path, monkeypatch, code, message):
    monkeypatch.chdir(tmp_path)
    lines = run(code)[0].rstrip().splitlines()
    assert lines[-1].startswith(message)
    frames = [line for line in lines if line.startswith("File ")]
    assert 2 <= len(frames) <= 3, "the cell, and one or two of this package"
    assert all("safelatent" in frame for frame in frames[1:])
    assert len(lines) <= 45
