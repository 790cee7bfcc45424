from __future__ import annotations

import pytest

from safelatent.errors import BadValueError
from safelatent.guidance import MAX, PRESETS, SLD, preset, preset_name

PAPER = {  # delta, s_S, lambda, s_m, beta_m
    "weak": (15, 200, 0.0, 0.0, 0.0),
    "medium": (10, 1000, 0.01, 0.3, 0.4),
    "strong": (7, 2000, 0.025, 0.5, 0.7),
    "max": (0, 5000, 1.0, 0.5, 0.7),
}


@pytest.mark.parametrize("name", PAPER)
def test_presets_are_the_papers(name):
    sld = preset(name)
    assert (sld.warmup, sld.scale, sld.threshold, sld.momentum, sld.decay) == PAPER[name]
    assert preset_name(sld) == name


def test_there_are_no_others():
    assert set(PRESETS) == set(PAPER)
    assert preset_name(SLD(warmup=3)) is None
    assert preset("max") is MAX


@pytest.mark.parametrize(
    ("given", "meant"), [("stong", "strong"), ("maximum", "max"), ("Weak", "weak")]
)
def test_an_unknown_name_is_answered_with_the_nearest(given, meant):
    with pytest.raises(BadValueError, match=f"unknown preset '{given}'.*did you mean '{meant}'"):
        preset(given)


@pytest.mark.parametrize("given", ["", "zzz", None, 3, ["weak"]])
def test_what_is_near_nothing_gets_the_list(given):
    with pytest.raises(BadValueError, match="the presets are: weak, medium, strong, max"):
        preset(given)
