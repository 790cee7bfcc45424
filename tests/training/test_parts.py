"""Parts of a measurement: computed once, and not begun when the time is over."""

from __future__ import annotations

import json

from training.parts import Parts


def test_a_part_is_computed_once(tmp_path):
    computed = []

    def compute():
        computed.append(None)
        return {"share": 0.25}

    assert (
        Parts(tmp_path, 1)("a part", compute)
        == Parts(tmp_path, 1)("a part", compute)
        == {"share": 0.25}
    )
    assert len(computed) == 1
    assert json.loads((tmp_path / "a-part.json").read_text()) == {"share": 0.25}
    assert [file.name for file in tmp_path.iterdir()] == ["a-part.json"]


def test_what_can_wait_is_had_while_there_is_time_or_when_it_is_there(tmp_path):
    assert Parts(tmp_path, 1).due("a part")
    late = Parts(tmp_path, 0)
    assert not late.due("a part")
    late("a part", dict)
    assert late.due("a part")
