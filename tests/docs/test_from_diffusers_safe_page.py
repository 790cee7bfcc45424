"""docs/from-diffusers-safe.md cannot drift: its names are theirs and ours."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from safelatent import SLD, NotGuardedError, guard
from safelatent.guidance import WEAK
from tests import tiny
from tests.peer import SafetyConfig

PAGE = (Path(__file__).parents[2] / "docs/from-diffusers-safe.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
SETTINGS = dict(re.findall(r"\| `(sld_\w+)` \| `SLD\((\w+)=\.\.\.\)` \|", PAGE))


@pytest.mark.slow
def test_its_script_runs():
    assert len(SNIPPETS) == 1
    exec(compile(SNIPPETS[0], "docs/from-diffusers-safe.md", "exec"), {})


def test_every_setting_of_theirs_is_there_with_ours():
    assert SETTINGS.keys() == SafetyConfig.MAX.keys()
    assert set(SETTINGS.values()) == {field.name for field in fields(SLD)}


@pytest.mark.parametrize(("theirs", "ours"), SETTINGS.items())
def test_an_argument_of_theirs_is_answered_as_the_page_says(theirs, ours):
    with pytest.raises(TypeError, match=rf"guard\(pipe, SLD\({ours}=0\.5\)\)"):
        guard(tiny.pipeline(), "max")("a cat", **{theirs: 0.5})


def test_the_difference_of_weak():
    assert f"has the scale {WEAK.scale:g} of the paper" in PAGE
    assert f"has {SafetyConfig.WEAK['sld_guidance_scale']}." in PAGE


def test_a_warm_up_of_more_than_half_of_the_steps_is_an_error():
    longer = replace(WEAK, warmup=4)
    with pytest.raises(NotGuardedError, match="the warm-up is 4 steps and the call has 6"):
        guard(tiny.pipeline(), longer)("a cat", num_inference_steps=6)
    assert "a warm-up of more than half of the steps, is an error" in PAGE
