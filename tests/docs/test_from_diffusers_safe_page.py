"""docs/from-diffusers-safe.md cannot drift: its names are theirs and ours."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from safelatent import SLD, guard
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
