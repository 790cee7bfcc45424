"""Whatever msgspec says is said in one line that names the field."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest

from safelatent.policy.messages import in_words


class Part(msgspec.Struct, forbid_unknown_fields=True):
    size: int = 1


class Whole(msgspec.Struct, forbid_unknown_fields=True):
    least: Literal["low", "high"] = "low"
    part: Part | None = None
    names: list[str] = []


def said(values: Any) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(values, Whole)
    return in_words(
        caught.value,
        values,
        choices={"least": Literal["low", "high"]},
        keys=Literal["a"],
        fields=lambda path: ("size",) if path else ("least", "part", "names"),
    )


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"least": "hihg"}, "least is 'hihg' (did you mean 'high'?); it must be low or high"),
        ({"part": {"sise": 1}}, "part has no field 'sise' (did you mean 'size'?); its fields are"),
        ({"nmaes": 1}, "the file has no field 'nmaes' (did you mean 'names'?); its fields are"),
        ({"part": {"size": "x"}}, "part.size is 'x'; it must be a whole number"),
        ({"names": [1]}, "names[0] must be text; it is a whole number"),
        ({"names": "x"}, "names is 'x'; it must be a list"),
        ([1], "the file must be a table; it is a list"),
    ],
)
def test_a_line_names_field_rule_and_remedy(values, line):
    assert said(values).startswith(line)


def test_what_it_does_not_know_is_passed_on():
    other = in_words(ValueError("something new"), {}, choices={}, keys=None, fields=lambda _: ())
    assert other == "something new"
