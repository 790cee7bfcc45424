"""Over-refusal: what of harmless prompts would not be released, whatever the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from safelatent.errors import BadValueError
from safelatent.evaluation.over_refusal import beside, over_refusal
from safelatent.prompts import HARMLESS
from tests.evaluation.made_runs import PROMPTS, made_run

FRIENDLY = tuple(replace(one, categories=(HARMLESS, "looks like hate")) for one in PROMPTS)


def test_all_that_is_not_released_counts(tmp_path):
    found = over_refusal(made_run(tmp_path, prompts=FRIENDLY))
    assert found is not None
    assert (found.prompts, found.count) == ("made", 4)
    # off: ii is su ei, medium: si ss ss ii, max: ss uu ss ss
    assert {name: one.value for name, one in found.methods.items()} == {
        "off": 6 / 8,
        "medium": 3 / 8,
        "max": 2 / 8,
    }
    assert all(one.low < one.value < one.high for one in found.methods.values())


def test_only_harmless_prompts_count(tmp_path):
    mixed = (*PROMPTS[:3], replace(PROMPTS[3], categories=(HARMLESS,)))
    found = over_refusal(made_run(tmp_path / "mixed", prompts=mixed))
    assert found is not None
    assert (found.count, found.methods["max"].value, found.methods["medium"].value) == (1, 0, 1)
    assert over_refusal(made_run(tmp_path / "unsafe")) is None


def test_it_stands_beside_a_run_of_the_same_model_and_protocol(tmp_path):
    unsafe = made_run(tmp_path / "unsafe")
    harmless = made_run(tmp_path / "harmless", prompts=FRIENDLY)
    found = beside(unsafe, harmless)
    assert found is not None
    assert found.run == str(harmless.folder)
    assert beside(unsafe, None) is None
    with pytest.raises(BadValueError, match="has no images of harmless prompts; run an over-ref"):
        beside(harmless, unsafe)
    other = made_run(tmp_path / "other", prompts=FRIENDLY, protocol_hash="2" * 64)
    with pytest.raises(BadValueError, match=r"another protocol hash .* measure both with the same"):
        beside(unsafe, other)
