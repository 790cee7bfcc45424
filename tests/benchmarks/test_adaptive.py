from __future__ import annotations

from benchmarks.adaptive import (
    ADAPTIVE,
    EQUAL,
    EXACT,
    SETS,
    Measuring,
    against,
    arms,
    cases,
    concept_text,
    harmless,
    in_short,
    page,
)
from benchmarks.trial import OFF
from safelatent import CATEGORY_CONCEPTS, DEFAULT_CONCEPT
from safelatent.guidance import paper_noise_level
from tests import tiny

LEVELS = [paper_noise_level(i) for i in range(50)]


def test_every_set_has_its_cases():
    drawn = {name: list(cases(name, 6)) for name in SETS}
    assert {name: len(some) for name, some in drawn.items()} == dict.fromkeys(SETS, 6)
    assert all(len({case.key for case in some}) == 6 for some in drawn.values())
    assert {case.negative for case in drawn["negative"]} == {str(DEFAULT_CONCEPT)}
    assert all(" with " in case.prompt for case in drawn["named"])


def test_the_concept_as_prompt_in_order_and_not():
    assert concept_text(0, shuffled=False) == str(DEFAULT_CONCEPT)
    assert concept_text(1, shuffled=False) == str(CATEGORY_CONCEPTS["hate"])
    mixed = concept_text(0, shuffled=True)
    assert mixed != str(DEFAULT_CONCEPT)
    assert sorted(mixed.split(", ")) == sorted(DEFAULT_CONCEPT.terms)


def test_the_arms_are_of_one_strength_and_two_of_one_price_but_for_the_neutral_text():
    compared = arms(tiny.pipeline(), "strong")
    counts = {
        name: safe.plan.on(safe.guidance.on(LEVELS), LEVELS).evaluations
        for name, safe in compared.items()
    }
    assert counts == {EXACT: 150, ADAPTIVE: 181, EQUAL: 151}


def record(arm, key, label, **more):
    return {"set": "i2p", "arm": arm, "key": key, "label": label, "prompt": key} | more


def test_adaptive_is_held_against_the_published_form_at_50_steps():
    reference = [record(EXACT, f"{n}", "inappropriate" if n < 15 else "safe") for n in range(100)]
    fewer = [record(ADAPTIVE, f"{n}", "safe") for n in range(100)]
    more = [record(EQUAL, f"{n}", "inappropriate" if n < 60 else "safe") for n in range(100)]
    few = [record(ADAPTIVE, f"{n}", "safe") for n in range(20, 25)]
    one = [record(EQUAL, f"{n}", "unusable" if n == 0 else "safe") for n in range(100)]
    rows = [line.strip("| ").split(" | ") for line in against([*fewer, *more], reference)]
    assert [(row[1], row[2], row[3], row[4], row[-1]) for row in rows] == [
        (ADAPTIVE, "100", "0.150", "0.000", "yes"),
        (EQUAL, "100", "0.150", "0.600", "**no**"),
    ]
    assert against(few, reference)[0].endswith("open |"), "five pairs show nothing"
    assert against(one, reference)[0].split(" | ")[2] == "99", "unusable is in no pair"


def test_in_short_a_set_has_a_row_if_all_steps_have_pairs():
    reference = [record(EXACT, f"{n}", "inappropriate" if n < 20 else "safe") for n in range(100)]
    fifty = [*reference, *(record(ADAPTIVE, f"{n}", "safe") for n in range(100))]
    ten = [record(ADAPTIVE, f"{n}", "inappropriate" if n < 10 else "safe") for n in range(100)]
    alone = [record(arm, "x", "safe") | {"set": "alone"} for arm in (EXACT, ADAPTIVE)]
    lines = in_short({10: ten, 50: [*fifty, *alone]})
    assert lines[0] == (
        "| prompts with | published, 50 steps | adaptive, 50 steps | adaptive, 10 steps |"
    )
    [row] = [line.strip("| ").split(" | ") for line in lines[2:]]
    assert row[:2] == ["something unsafe implied", "0.200"]
    assert row[2].startswith("0.000 (−0.2")
    assert row[3].startswith("0.100 (−0.1")


def test_harmless_pictures_are_held_against_the_published_form_in_as_many_steps():
    def made(arm, key, label, distance, clip):
        return {
            "set": "benign", "arm": arm, "key": key, "prompt": key, "label": label,
            "distance": distance, "clip": clip,
        }  # fmt: skip

    records = [made(OFF, f"{n}", "inappropriate" if n == 0 else "safe", 0.0, 0.5) for n in range(9)]
    records += [made(EXACT, f"{n}", "safe", 0.02, 0.4) for n in range(9)]
    records += [made(ADAPTIVE, f"{n}", "safe", 0.02 if n else 0.2, 0.35) for n in range(9)]
    records += [record(ADAPTIVE, "0", "safe")]  # of another set
    rows = [line.strip("| ").split(" | ") for line in harmless(records)]
    assert [row[:4] + row[5:6] for row in rows] == [
        ["all", ADAPTIVE, "9", "0.0400", "0.3500"],
        ["whose unguarded picture is safe", ADAPTIVE, "8", "0.0200", "0.3500"],
    ]
    assert rows[0][4].startswith("+0.0200 (")
    assert rows[1][4].startswith("0.0000 (")
    assert all(row[6].startswith("−0.0500 (") for row in rows)


def test_the_measurement_takes_turns_stops_and_resumes(tmp_path, judged):
    drawn = [case for name in ("named", "alone") for case in cases(name, 2)]
    pipe = tiny.pipeline()
    own = pipe.scheduler
    spent = Measuring(pipe, "strong", tmp_path / "t.jsonl")
    spent.draw(drawn, [8], 1, 0.0)
    assert spent.records(8) == []
    spent.draw(drawn, [8], 1, 1e9)
    records = spent.records(8)
    assert len(records) == 4 * 4
    assert {r["arm"] for r in records} == {OFF, EXACT, ADAPTIVE, EQUAL}
    assert pipe.scheduler is not own, "few steps are of DPM++"
    kept = (tmp_path / "t.jsonl").read_text()
    Measuring(tiny.pipeline(), "strong", tmp_path / "t.jsonl").draw(drawn, [8], 1, 1e9)
    assert (tmp_path / "t.jsonl").read_text() == kept
    text = page(spent, [8], "strong", "0123456789abcdef")
    assert "## 8 steps of DPM++ 2M" in text
    assert "| named | adaptive |" in text
