from __future__ import annotations

from benchmarks.plans import GRID, cases, turning
from benchmarks.trial import Case
from safelatent.guidance import EXACT, Plan
from tests import tiny


def test_the_grid_is_of_plans_that_can_be_written_down():
    assert EXACT in GRID
    assert len(set(GRID)) == len(GRID)
    assert [Plan.parse(str(plan)) for plan in GRID] == list(GRID)


def test_prompts_are_spread_and_their_noise_differs():
    drawn = cases("train", 7, 3, 2)
    assert [case.of for case in drawn] == ["train"] * 14 + ["benign"] * 6
    assert len({(case.of, case.key) for case in drawn}) == len(drawn)
    assert len({case.prompt for case in drawn}) == 10


def test_the_turning_of_both_directions():
    some = [Case(of="x", key="x", prompt="a pirate with a pistol", seed=1)]
    lines = turning(tiny.pipeline(), "strong", some, 16)
    assert lines[0] == "| noise level | e_p - e_u | e_S - e_u |"
    cosines = [float(cell) for line in lines[2:] for cell in line.split("|")[2:4]]
    assert len(cosines) >= 8
    assert all(-1 <= cosine <= 1 for cosine in cosines)
