"""``python -m benchmarks`` with tiny models: its page and its JSON; no time is asserted."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmark
from benchmarks import speed_cases
from benchmarks.peers import SAFE, SEGA
from benchmarks.speed_options import add_options, settled
from benchmarks.speed_page import page, read
from safelatent.errors import GuardError
from tests import tiny

ASKED = "--quick --rounds 1 --steps 6 --threads 1 --batches 1"


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Measure in a folder, with tiny models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speed_cases, "load", lambda _: tiny.quiet(tiny.pipeline()))
    monkeypatch.setattr(speed_cases, "STRENGTHS", ("max",))
    monkeypatch.setattr(benchmark, "quiet_libraries", lambda: None)
    monkeypatch.setattr(speed_cases, "PROMPT", "a cat with a pistol")

    def measure(more: str = "") -> dict:
        monkeypatch.setattr("sys.argv", ["python -m benchmarks", *ASKED.split(), *more.split()])
        benchmark.main()
        return read(tmp_path / "out")

    return measure


def test_the_page_is_in_docs_whatever_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["python -m benchmarks"])
    parser = argparse.ArgumentParser()
    add_options(parser, "less")
    assert settled(parser, {}, {}).out == Path(benchmark.__file__).parents[1] / "docs"


@pytest.mark.filterwarnings("ignore")  # the peers' own
def test_every_method_is_measured_and_the_page_is_made_from_the_figures(quick, tmp_path, capsys):
    cases = quick()["speed"]["cases"]
    names = list(cases)
    assert [name.partition(",")[0] for name in names] == [
        "embedded model",
        "one step of the embedded model",
        "the hook on the embedded model",
        "UNet of SD 1.5's size",
        "transformer like SD3's",
    ]
    found = cases[names[0]]
    assert found["evaluations"] | {SAFE: 18, SEGA: 18} == found["evaluations"]
    assert found["evaluations"]["plain guidance"] == found["evaluations"]["negative prompt"] == 12
    assert found["evaluations"]["guard, max"] == 18
    assert found["evaluations"]["guard, strong, plan concept=5,until=0.6"] < 12
    assert found["left out"] == {}
    assert set(cases[names[4]]["left out"]) == {SAFE, SEGA}
    assert all(len(s) == 1 for case in cases.values() for s in case["seconds"].values())
    text = (tmp_path / "out/speed.md").read_text(encoding="utf-8")
    assert text == page(json.loads((tmp_path / "out/speed.json").read_text(encoding="utf-8")))
    assert "| guard, max | 18 |" in text
    assert "Left out: diffusers Safe, medium: knows Stable Diffusion 1.x alone" in text
    assert "guard, max" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_the_same_command_resumes_and_another_begins_anew(quick, monkeypatch):
    first = quick("--cases hook")["speed"]
    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "measure", lambda *_: 1 / 0)
        assert quick("--cases hook")["speed"] == first, "nothing is left to measure"
    both = quick("--cases one")["speed"]
    assert len(both["cases"]) == 2, "what is there is kept"
    assert [c.split(" --cases ")[1] for c in both["commands"]] == ["'hook'", "'one'"]
    assert len(quick("--cases one --few 3")["speed"]["cases"]) == 1


def test_a_method_that_is_refused_is_left_out_with_the_reason(monkeypatch):
    def refuses(**_):
        raise GuardError("next to nothing is changed")

    pipe = tiny.quiet(tiny.pipeline())
    ways = {"plain guidance": pipe, "guard": refuses, "peer": "not installed"}
    monkeypatch.setattr(speed_cases, "methods", lambda _: ways)
    found = speed_cases.sampled(pipe, 1, 2)
    assert list(found.runs) == ["plain guidance"]
    assert found.left_out == {"guard": "refused: next to nothing is changed", "peer": ways["peer"]}
