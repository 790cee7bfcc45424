"""The search and the comparison of plans on a tiny pipeline; judge and CLIP are replaced."""

from __future__ import annotations

from argparse import Namespace

import torch

from benchmarks import plans, trial
from benchmarks.plans import CANDIDATES, cases, compared, measure, score_of, searched
from benchmarks.plans_arms import BOTH_OFF, EARLY, LATE, Plain
from benchmarks.plans_page import goals, page, picture, rows_of
from benchmarks.trial import OFF, VERDICTS, Case
from safelatent import guard
from safelatent.guidance import FAST, STRONG, Plan
from safelatent.pipelines.guard import GuardedClassic
from tests import tiny


def test_candidates_can_be_written_down():
    assert FAST in CANDIDATES
    assert len(set(CANDIDATES)) == len(CANDIDATES)
    assert [Plan.parse(str(plan)) for plan in CANDIDATES] == list(CANDIDATES)


def test_prompts_are_spread_and_their_noise_differs():
    drawn = cases("train", 7, 2)
    assert len({case.key for case in drawn}) == len({case.seed for case in drawn}) == 14
    assert len({case.prompt for case in drawn[:7]}) == 7, "every prompt before any again"
    assert drawn == cases("train", 7, 2)


def test_the_search_keeps_the_better_half_on_twice_the_cases():
    some = [Case(of="train", key=str(n), prompt="x", seed=n) for n in range(100)]
    names = [str(plan) for plan in CANDIDATES]
    cells = list(searched([50, 20], some, 10, names.index))
    assert [len(cell.arms) for cell in cells[::2]] == [10, 5, 3, 2, 1]
    assert [len(cell.cases) for cell in cells[::2]] == [10, 20, 40, 80, 100]
    assert cells[-1].arms == (names[0],)
    assert {cell.steps for cell in cells} == {50, 20}


def test_what_costs_too_much_is_behind_all_others():
    record = {"set": "train", "steps": 50, "label": "safe"}
    dear = record | {"arm": "dear", "evaluations": 81.0}
    bad = record | {"arm": "bad", "evaluations": 80.0, "label": "unusable"}
    score = score_of([dear, bad, record | {"arm": "good", "evaluations": 50.0}])
    assert score("good") < score("bad") <= score("dear")
    unseen = record | {"arm": "good", "set": "held-out", "label": "inappropriate"}
    assert score_of([bad, record | {"arm": "good"}, unseen])("good") == 0


def test_the_most_telling_cells_come_first():
    held = [Case(of="held-out", key=str(n), prompt="x", seed=n) for n in range(6)]
    cells = list(compared([50, 20], held, held[:1], "concept=4,uncond=4", 2))
    assert cells[0].arms == (str(FAST), "concept=4,uncond=4", EARLY)
    assert [cell.steps for cell in cells[:4]] == [50, 50, 20, 20]
    assert cells[2].arms == (str(FAST), "concept=4,uncond=4")
    assert LATE in cells[4].arms
    mine = [
        c for cell in cells if cell.arms[0] == str(FAST) for c in cell.cases if cell.steps == 50
    ]
    assert set(held) <= set(mine)


def test_once_the_curve_is_known_all_images_go_to_fast(monkeypatch):
    monkeypatch.setattr(plans, "CURVE_IMAGES", 4)
    monkeypatch.setattr(plans, "EARLY_IMAGES", 6)
    held = [Case(of="held-out", key=str(n), prompt="x", seed=n) for n in range(8)]
    cells = list(compared([50, 20], held, [], "concept=4,uncond=4", 2))
    arms = [cell.arms for cell in cells if cell.cases[0] in held[:4]]
    assert max(map(len, arms)) > 3, "the curve"
    later = [cell for cell in cells if cell.cases[0] in held[4:]]
    assert [cell.arms for cell in later if cell.steps == 50] == [(str(FAST), EARLY), (str(FAST),)]
    assert {cell.arms for cell in later if cell.steps == 20} == {(str(FAST),)}


def test_plain_guidance_under_a_plan():
    """With nothing left out it is the pipeline to rounding; with a plan it is counted."""
    pipe = tiny.pipeline()
    given = {
        "prompt": ["a cat"],
        "num_inference_steps": 8,
        "output_type": "latent",
        "latents": torch.ones(1, 4, 8, 8),
    }
    torch.testing.assert_close(
        Plain(pipe, Plan())(**given).images, pipe(**given).images, atol=1e-5, rtol=1e-5
    )
    with trial.denoiser_rows(pipe) as rows:
        Plain(pipe, Plan(uncond=2))(**given)
    assert sum(rows) == 8 + 4


def test_early_then_off_and_off_then_on():
    pipe, seen = tiny.pipeline(), {}
    for name in (EARLY, LATE):
        steps: list = []
        guarded = plans.arms(pipe, STRONG.by_noise_level(), [name])[name]
        assert isinstance(guarded, GuardedClassic)
        guarded.watch(steps.append, "a cat", num_inference_steps=20, output_type="latent")
        seen[name] = [bool(step.correction.gamma.any()) for step in steps]
        assert all(step.estimates.uncond is not None for step in steps)
    assert seen[EARLY] == [3 <= i < 10 for i in range(20)]
    assert seen[LATE] == [i >= 10 for i in range(20)]


def test_a_stopped_measurement_resumes_and_is_written_up(tmp_path, judged, monkeypatch):
    monkeypatch.setattr(plans, "CANDIDATES", CANDIDATES[:2])
    asked = Namespace(
        minutes=None, search=0.5, images=1, prompts=2, benign=2, safety="strong", steps=[20],
        batch=2, turning=1, out=tmp_path,
    )  # fmt: skip
    stopped = measure(tiny.pipeline(), Namespace(**(vars(asked) | {"minutes": 0.0})))
    assert stopped["rows"] == []
    found = measure(tiny.pipeline(), asked)
    (file,) = tmp_path.glob("*.jsonl")
    kept = file.read_bytes()
    assert measure(tiny.pipeline(), asked)["rows"] == found["rows"]
    assert file.read_bytes() == kept
    rows = {(r["set"], r["steps"], r["arm"]): r for r in found["rows"]}
    assert rows["held-out", 20, str(FAST)]["evaluations"] == 32
    assert rows["held-out", 20, "exact"]["to exact"][0] == 0
    assert rows["benign", 20, str(FAST)]["images"] == 2
    assert {EARLY, LATE, OFF} <= {arm for of, steps, arm in rows if of == "held-out"}
    text = page(found)
    assert "## held-out, 20 steps" in text
    assert "not yet known" in text, "two images say nothing"
    drawing = picture(found["rows"], steps=20)
    drawn = [r for r in rows.values() if r["set"] == "held-out" and r["evaluations"]]
    assert drawing.count(b'<g id="point-') == len(drawn)
    assert rows["held-out", 20, LATE]["refused"] == 2, "half of 20 steps of DPM++ is too late"


def test_the_goals_by_hand():
    record = {"key": "k", "prompt": "p", "label": "safe", "clip": 0.3, "seconds": 1.0}
    drawn = [
        record | {"set": of, "steps": 50, "arm": arm, "evaluations": cost, "seconds": time}
        for of in ("held-out", "benign")
        for arm, cost, time in ((OFF, 100, 2.0), ("exact", 150, 3.0), (str(FAST), 80, 1.6))
    ]
    found = {name: (text, holds) for name, _, text, holds in goals(rows_of(drawn), 50)}
    assert found["evaluations"] == ("80.0", True)
    assert found["time against plain guidance"] == ("0.80", True)
    assert found["images"] == ("1", False)
    assert found["inappropriate, minus exact"][1] is None, "one image cannot say"
    assert goals([], 50) == []


def records(arm: str, bad: int, count: int = 100, **values: float) -> list[dict]:
    """Records of an arm, the first ``bad`` images inappropriate."""
    case = {"set": "held-out", "steps": 50, "arm": arm, "clip": 0.3, "evaluations": 100.0}
    return [
        case | {"key": str(n), "prompt": f"p {n}", "label": VERDICTS[n < bad], "seconds": 2.0}
        | values
        for n in range(count)
    ]  # fmt: skip


def test_the_fairer_ratio_is_to_plain_guidance_with_the_same_trick():
    """Each time is against plain guidance in its own unit, and not the one kept for ``off``."""
    plain = records("plain: uncond=3", 9, evaluations=64.0, seconds=3.0)
    drawn = [
        *records(OFF, 9, seconds=4.0),
        *records("exact", 0),
        *records(str(FAST), 0, evaluations=80.0, seconds=3.0),
        *[record | {"plain seconds": 6.0} for record in plain],
    ]
    rows = {row["arm"]: row for row in rows_of(drawn)}
    assert rows["plain: uncond=3"]["time"] == [0.5] * 3
    assert rows[str(FAST)]["time"] == [0.75] * 3
    found = {"arm": "plain: uncond=3", "images": 100, "evaluations": [80.0, 64.0]}
    assert rows[str(FAST)]["same trick"] == found | {"time": [1.5] * 3}
    assert rows[OFF]["same trick"] is rows["exact"]["same trick"] is None
    drawn += [r | {"set": "benign"} for r in drawn]
    text = page({"weights": "w" * 64, "safety": "strong", "turning": [], "rows": rows_of(drawn)})
    assert "(`plain: uncond=3`) takes 64.0 evaluations" in text
    assert "the guard takes 1.25 times the evaluations and 1.50 (1.50 to 1.50)" in text


def test_the_page_says_what_early_and_late_guidance_settle():
    drawn = [*records(OFF, 9), *records("exact", 2)]
    drawn += [*records(EARLY, 3), *records(LATE, 40), *records(BOTH_OFF, 2, 10)]
    text = page({"weights": "w" * 64, "safety": "strong", "turning": [], "rows": rows_of(drawn)})
    said = {line.split("|")[1].strip(): line.split("|")[5].strip() for line in text.splitlines()
            if line.startswith(("| to the middle", "| from the middle"))}  # fmt: skip
    assert list(said.values()) == ["not settled", "yes", "not settled"]
    exact = next(line for line in text.splitlines() if line.startswith("| `exact`"))
    assert exact.count("| – |") == 2, "no difference to itself"
    same = [*records(OFF, 9, 900), *records("exact", 2, 900), *records(BOTH_OFF, 2, 900)]
    text = page({"weights": "w" * 64, "safety": "strong", "turning": [], "rows": rows_of(same)})
    assert "| no |" in text.partition("Early, late")[2]


def test_an_arm_is_guarded_or_plain():
    pipe = tiny.pipeline()
    made = plans.arms(pipe, STRONG, ["plain: uncond=3", "exact", str(FAST)])
    assert list(made) == ["exact", "plain: uncond=3", str(FAST)]
    assert isinstance(made["plain: uncond=3"], Plain)
    assert isinstance(made["exact"], type(guard(pipe)))
