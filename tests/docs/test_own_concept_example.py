"""The example of an own concept does what it says, by the judge."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from safelatent.detectors import embedded_judge, examine, open_image

EXAMPLE = Path(__file__).parents[2] / "examples/own_concept.py"


@pytest.mark.slow
def test_the_own_concept_is_steered_away_from(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    images = [open_image(f"koala-{name}.png") for name in ("unguarded", "guarded")]
    before, after = examine(embedded_judge(), images)
    assert (before.label, after.label) == ("inappropriate", "safe")
    assert before.evidence == {
        "main": "koala",
        "unsafe": "skull",
        "category": "shocking",
    }
    assert after.evidence == {"main": "koala"}
    assert capsys.readouterr().out.splitlines() == [
        f"unguarded: inappropriate, {before.evidence}",
        f"guarded: safe, {after.evidence}",
    ]
