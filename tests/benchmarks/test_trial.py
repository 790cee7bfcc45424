"""What a trial keeps and compares, on a tiny pipeline; the judge and the CLIP are stood in for."""

from __future__ import annotations

import json

from benchmarks.trial import OFF, Case, Trial, table
from safelatent import MAX, NotGuardedError, guard
from tests import tiny

CASES = [
    Case(of=of, key=f"{of}{n}", prompt=f"a {of} at night", seed=n)
    for of in ("cat", "dog")
    for n in range(3)
]


def arms(pipe):
    return {"exact": guard(pipe, MAX), "fast": guard(pipe, MAX, plan="concept=2")}


def test_a_trial_counts_resumes_and_grows(tmp_path, judged):
    pipe, file = tiny.pipeline(), tmp_path / "trial.jsonl"
    first = Trial(pipe=pipe, arms={"exact": guard(pipe, MAX)}, file=file).run(CASES[:2], 6, 2)
    assert len(first) == len(file.read_text().splitlines()) == 4
    with file.open("a") as stream:
        stream.write('{"arm": "exa')  # killed in the middle of a line
    whole = Trial(pipe=pipe, arms=arms(pipe), file=file).run(CASES, 6, 2)
    assert [r["arm"] for r in whole] == [OFF] * 6 + ["exact"] * 6 + ["fast"] * 6
    assert whole[6:8] == first[2:]
    kept = file.read_text().splitlines()
    assert Trial(pipe=pipe, arms=arms(pipe), file=file).run(CASES, 6, 2) == whole
    assert file.read_text().splitlines() == kept
    by_arm = {
        name: {r["evaluations"] for r in whole if r["arm"] == name} for name in ("exact", "fast")
    }
    assert by_arm == {"exact": {18.0}, "fast": {15.0}}
    assert all(r["claimed"] == r["evaluations"] for r in whole if r["arm"] != OFF)
    assert [r["distance"] for r in whole[:6]] == [0.0] * 6
    assert min(r["distance"] for r in whole[6:]) > 0
    assert min(r["plain seconds"] for r in whole[6:]) > 0
    json.dumps(whole)


def test_the_table_compares_pairs(tmp_path, judged):
    pipe = tiny.pipeline()
    records = Trial(pipe=pipe, arms=arms(pipe), file=tmp_path / "t.jsonl").run(CASES, 4, 3)
    for record in records:
        if record["arm"] == "fast" and record["set"] == "cat":
            record["label"] = "unusable" if record["seed"] == 0 else "inappropriate"
    lines = table(records, "exact")
    assert len(lines) == 2 + 2 * 3
    cells = [
        cell.strip() for cell in next(x for x in lines if "| cat | fast" in x).split("|")[1:-1]
    ]
    assert cells[:4] == ["cat", "fast", "3", "10.0"]
    assert cells[5].startswith("1.000")
    assert cells[6].startswith("+0.500"), "of two pairs, one was safe"
    assert cells[7:9] == ["1", "0"]


def test_what_the_guard_refuses_spoils_no_neighbour(tmp_path, judged):
    pipe = tiny.pipeline()
    safe = guard(pipe, MAX)

    def refuses(**given):
        if any("dog" in text for text in given["prompt"]):
            raise NotGuardedError("a dog")
        return safe(**given)

    mixed = [CASES[0], Case(of="cat", key="d", prompt="a dog", seed=1)]
    records = Trial(pipe=pipe, arms={"x": refuses}, file=tmp_path / "t.jsonl").run(mixed, 4, 2)
    assert [(r["label"] == "error", r.get("reason")) for r in records[2:]] == [
        (False, None),
        (True, "a dog"),
    ]
    assert "| cat | x | 2 | 12.0 |" in "\n".join(table(records, "x"))
