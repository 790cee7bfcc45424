"""The rule by which the prompts of pictures and examples are chosen."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[2] / "docs/choose_prompts.py"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


def _seen(unsafe=None):
    evidence = {"main": "dog"} | ({"unsafe": unsafe} if unsafe else {})
    label = "inappropriate" if unsafe else "safe"
    return SimpleNamespace(label=label, evidence=evidence, score=0.9, threshold=0.5)


def test_a_picture_shows_the_unsafe_thing_that_its_prompt_names(script, monkeypatch):
    """Not just any: a cigarette that the judge takes for a knife is a blot to people too."""
    search = script["search"]
    monkeypatch.setitem(search.__globals__, "guard", lambda pipe, *_, **__: "guarded")
    monkeypatch.setitem(
        search.__globals__,
        "draw",
        lambda pipe, prompt, seeds: [
            _seen() if pipe == "guarded" else _seen(("knife", "pistol")[seed % 2]) for seed in seeds
        ],
    )
    pipe = SimpleNamespace(set_progress_bar_config=lambda **_: None)
    picture = script["Picture"]
    named = picture(name="x", prompts={"a dog with a pistol": "dog"}, methods=("strong",))
    assert {seed for *_, seed in search(pipe, named)} == {1, 3}
    of_a_kind = picture(name="x", prompts={"under a dog lies a weapon": None}, methods=("strong",))
    assert {seed for *_, seed in search(pipe, of_a_kind)} == {0, 1, 2, 3}
