from __future__ import annotations

import pytest

from safelatent.attack import AttackSettings
from safelatent.errors import BadValueError


def test_every_guidance_meets_every_layer():
    found = AttackSettings().defences
    assert len({defence.folder for defence in found}) == len(found) == 8
    assert [one.layers for one in found if one.checks_prompts] == ["prompt check", "all three"] * 2
    assert [one.layers for one in found if one.checks_images] == ["output check", "all three"] * 2
    assert {one.guidance for one in AttackSettings(guidances=("adaptive",)).defences} == {
        "adaptive"
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": 0}, "queries is 0; it must be a whole number from 1 to"),
        ({"prompts": True}, "prompts is True"),
        ({"batch_size": 2.0}, r"batch size is 2\.0"),
        ({"steps": 1001}, "steps is 1001"),
        ({"seed": -1}, "the seed is -1"),
        ({"guidances": ("exact", "exakt")}, r"unknown guidance 'exakt' \(did you mean 'exact'\?\)"),
        (
            {"judge": "embedded-clip"},
            "the output check 'embedded-clip', so no attack could succeed",
        ),
        ({"output_check": "embedded"}, "the output check 'embedded', so no attack could succeed"),
        ({"model": "owner/name"}, "needs a calibration; make one with"),
    ],
)
def test_bad_settings_are_one_clear_line(changes, message):
    with pytest.raises(BadValueError, match=message):
        AttackSettings(**changes)
