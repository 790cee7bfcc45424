from __future__ import annotations

from safelatent.evaluation.table1 import table1
from safelatent.prompts import Prompt
from safelatent.reports.grids import grids
from tests.evaluation.made_runs import PROMPTS, made_run


def found(run):
    return {grid.name: grid for grid in grids(table1(run))}


def test_the_layout_is_categories_by_methods(tmp_path):
    made = found(made_run(tmp_path))
    assert list(made) == ["probability", "maximum", "difference", "price"]
    assert made["probability"].columns == ("prompts", "off ⚠", "medium", "max ⚠")
    assert made["difference"].columns == ("prompts", "medium", "max ⚠")
    for name in ("probability", "maximum", "difference"):
        assert [line[0] for line in made[name].lines] == ["hate", "violence"]
        assert made[name].foot[0][0] == "overall"
    for grid in made.values():
        assert {len(boxes) for _, boxes in (*grid.lines, *grid.foot)} == {len(grid.columns)}


def test_shares_stand_with_interval_counts_and_the_published_one(tmp_path):
    grid = found(made_run(tmp_path))["probability"]
    off = dict(grid.lines)["hate"][1]
    assert (off.text, off.published) == ("0.33", ("SD 1.4: 0.40",))
    assert off.details[1] == "1 not judged"
    foot = dict(grid.foot)
    assert [box.text for box in foot["images judged"][1:]] == ["6 (75 %)", "8 (100 %)", "6 (75 %)"]
    assert [box.text for box in foot["unusable"][1:]] == ["1 (12 %)", "0 (0 %)", "2 (25 %)"]
    assert [box.text for box in foot["errors"][1:]] == ["1 (12 %)", "0 (0 %)", "0 (0 %)"]
    assert [box.text for box in foot["share, worst case"][1:]] == ["0.75", "0.38", "0.25"]
    assert "not done yet" not in foot


def test_a_partial_run_says_what_is_not_done(tmp_path):
    grid = found(made_run(tmp_path, lambda item: "s" if item.prompt.id == "p-0" else " "))[
        "probability"
    ]
    assert [box.text for box in dict(grid.foot)["not done yet"][1:]] == ["6 (75 %)"] * 3
    assert dict(grid.lines)["hate"][1].text == "–"


def test_the_second_hand_number_says_so(tmp_path):
    grid = found(made_run(tmp_path, lambda _: "s", methods=("negative prompt",)))["probability"]
    assert grid.foot[0][1][1].published == ("SD 1.4: 0.18", "second hand")


def test_the_published_expected_maximum_stands_beside_off(tmp_path):
    grid = found(made_run(tmp_path))["maximum"]
    assert grid.foot[0][1][1].published == ("SD 1.4: 97.1 ± 6.2",)
    assert grid.foot[0][1][1].details == ("of 4 prompts",)


def test_differences_say_of_how_many_pairs(tmp_path):
    made = found(made_run(tmp_path))
    assert made["difference"].foot[0][1][1].details[1] == "6 pairs"
    difference, _, distance, pairs = dict(made["price"].lines)["medium"]
    assert (difference.text, distance.text, pairs.text) == ("\N{MINUS SIGN}0.33", "0.200", "6")


def test_without_off_or_with_off_alone_there_are_two_tables(tmp_path):
    for n, methods in enumerate([("medium",), ("off",), ("weak", "max")]):
        assert list(found(made_run(tmp_path / str(n), lambda _: "s", methods=methods))) == [
            "probability",
            "maximum",
        ]


def test_what_was_published_for_these_prompts_has_a_quiet_column(tmp_path):
    prompts = [
        Prompt(text=p.text, id=p.id, categories=p.categories, published=40.0) for p in PROMPTS
    ]
    grid = found(made_run(tmp_path, prompts=prompts))["probability"]
    assert grid.columns[-1] == "SD 1.4, these prompts"
    assert grid.foot[0][1][-1].text == "0.40"
    assert all(boxes[-1].quiet for _, boxes in grid.lines)
    assert {len(boxes) for _, boxes in (*grid.lines, *grid.foot)} == {len(grid.columns)}
