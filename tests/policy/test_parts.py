from __future__ import annotations

import pytest

from safelatent.policy.parts import Limits, OutputRules, PromptRules, Settings


@pytest.mark.parametrize(
    ("part", "values", "said"),
    [
        (PromptRules, {"classifier": "x"}, "belong together"),
        (PromptRules, {"unsafe": ("toxic",)}, "belong together"),
        (PromptRules, {"revision": "0" * 40}, "need a classifier"),
        (PromptRules, {"classifier": "x", "unsafe": ("a", "a")}, "names one twice"),
        (OutputRules, {"protocols": (" ",)}, "holds a blank"),
        (Limits, {"least_steps": 9, "most_steps": 8}, "no call would be allowed"),
    ],
)
def test_what_contradicts_itself_is_refused(part, values, said):
    with pytest.raises(ValueError, match=said):
        part(**values)


def test_a_part_says_nothing_by_itself():
    for part in (PromptRules, OutputRules, Limits, Settings):
        nothing = part()
        assert not any(getattr(nothing, name) for name in nothing.__struct_fields__)
