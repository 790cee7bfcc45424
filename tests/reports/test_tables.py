from __future__ import annotations

from dataclasses import replace

from safelatent.evaluation.comparison import compare_runs
from safelatent.evaluation.table1 import table1
from safelatent.prompts import Prompt
from safelatent.reports.grid import Images
from safelatent.reports.tables import comparison_table, tables
from tests.evaluation.made_runs import PROMPTS, made_run


def found(run):
    return {grid.name: grid for grid in tables(table1(run))}


def whole_i2p(table):
    return {grid.name: grid for grid in tables(replace(table, i2p="whole"))}


def test_the_layout_is_categories_by_methods(run):
    made = found(run)
    assert list(made) == ["probability", "maximum", "difference", "price"]
    assert made["probability"].columns == ("prompts", "off ⚠", "medium", "max ⚠")
    assert made["difference"].columns == ("prompts", "medium", "max ⚠")
    for name in ("probability", "maximum", "difference"):
        assert [line[0] for line in made[name].lines] == ["hate", "violence"]
        assert made[name].foot[0][0] == "overall"
    for grid in made.values():
        assert {len(boxes) for _, boxes in (*grid.lines, *grid.foot)} == {len(grid.columns)}


def test_shares_stand_with_interval_and_counts(run):
    grid = found(run)["probability"]
    off = dict(grid.lines)["hate"][1]
    assert (off.text, off.published) == ("0.33", ())
    assert off.details[1] == "1 not judged"
    assert off.few == "too few: 2 prompts"
    foot = dict(grid.foot)
    assert [box.text for box in foot["images judged"][1:]] == ["6 (75 %)", "8 (100 %)", "6 (75 %)"]
    assert [box.text for box in foot["unusable"][1:]] == ["1 (12 %)", "0 (0 %)", "2 (25 %)"]
    assert [box.text for box in foot["errors"][1:]] == ["1 (12 %)", "0 (0 %)", "0 (0 %)"]
    assert [box.text for box in foot["share, worst case"][1:]] == ["0.75", "0.38", "0.25"]
    assert "not done yet" not in foot


def test_cells_link_to_the_images_that_they_count(run):
    grid = found(run)["probability"]
    off, medium, _ = dict(grid.lines)["hate"][1:]
    assert off.images == Images(
        text="1 of 3 images", method="off", category="hate", label="inappropriate"
    )
    assert medium.images == Images(text="0 of 4 images", method="medium", category="hate")
    foot = dict(grid.foot)
    assert foot["overall"][1].images.category == "", "of all categories"
    assert [box.images and box.images.label for box in foot["unusable"][1:]] == [
        "unusable",
        None,
        "unusable",
    ]
    pairs = dict(found(run)["difference"].lines)["hate"][1].images
    assert (pairs.text, pairs.method, pairs.category) == ("3 pairs", "medium", "hate")


def test_a_partial_run_says_what_is_not_done(tmp_path):
    grid = found(made_run(tmp_path, lambda item: "s" if item.prompt.id == "p-0" else " "))[
        "probability"
    ]
    assert [box.text for box in dict(grid.foot)["not done yet"][1:]] == ["6 (75 %)"] * 3
    assert dict(grid.lines)["hate"][1].text == "–"


def test_published_numbers_stand_beside_the_whole_of_i2p_alone(table):
    made = whole_i2p(table)
    assert dict(made["probability"].lines)["hate"][1].published == ("SD 1.4: 0.40",)
    assert made["maximum"].foot[0][1][1].published == ("SD 1.4: 97.1 ± 6.2",)
    assert made["maximum"].foot[0][1][1].details == ("of 4 prompts",)
    for extent in ("part", None):
        for grid in tables(replace(table, i2p=extent)):
            for _, boxes in (*grid.lines, *grid.foot):
                assert all(box.published == () for box in boxes)


def test_the_second_hand_number_says_so(tmp_path):
    made = whole_i2p(table1(made_run(tmp_path, lambda _: "s", methods=("negative prompt",))))
    assert made["probability"].foot[0][1][1].published == ("SD 1.4: 0.18", "second hand")


def test_differences_say_of_how_many_pairs(run):
    made = found(run)
    assert made["difference"].foot[0][1][1].images.text == "6 pairs"
    difference, _, distance, pairs = dict(made["price"].lines)["medium"]
    assert (difference.text, distance.text, pairs.text) == ("\N{MINUS SIGN}0.33", "0.200", "6")


def test_without_off_or_with_off_alone_there_are_two_tables(tmp_path):
    for n, methods in enumerate([("medium",), ("off",), ("weak", "max")]):
        assert list(found(made_run(tmp_path / str(n), lambda _: "s", methods=methods))) == [
            "probability",
            "maximum",
        ]


def test_the_files_own_percentages_have_a_quiet_column(tmp_path):
    prompts = [
        Prompt(text=p.text, id=p.id, categories=p.categories, published=40.0) for p in PROMPTS
    ]
    table = table1(made_run(tmp_path, prompts=prompts))
    grid = tables(table)[0]
    assert grid.columns[-1] == "the file, these prompts"
    assert tables(replace(table, i2p="part"))[0].columns[-1] == "SD 1.4, these prompts"
    assert grid.foot[0][1][-1].text == "0.40"
    assert all(boxes[-1].quiet for _, boxes in grid.lines)
    assert {len(boxes) for _, boxes in (*grid.lines, *grid.foot)} == {len(grid.columns)}


def test_two_runs_have_a_line_per_category_and_both_shares_below(tmp_path, run):
    grid = comparison_table(compare_runs(run, made_run(tmp_path, lambda _: "s")))
    assert [name for name, _ in grid.lines] == ["hate", "violence"]
    foot = dict(grid.foot)
    assert next(iter(foot)) == "overall"
    assert foot["overall"][1].text == "+0.38"
    mine = foot["share in this run"]
    assert [box.text for box in mine] == ["0.67", "0.38", "0.00"]
    assert [box.lines[1:3] for box in mine] == [
        ("4 of 6 images", "2 not judged"),
        ("3 of 8 images", "too few: 4 prompts"),
        ("0 of 6 images", "2 not judged"),
    ]
    assert [box.text for box in foot["share in the other run"]] == ["0.00"] * 3


def test_without_a_pair_nothing_is_subtracted_and_both_shares_stand(tmp_path, run):
    others = tuple(Prompt(text=f"other {n}", id=f"q-{n}") for n in range(3))
    grid = comparison_table(compare_runs(run, made_run(tmp_path, lambda _: "i", others)))
    assert [box.text for box in grid.foot[0][1]] == ["–"] * 3
    assert [box.text for box in dict(grid.foot)["share in the other run"]] == ["1.00"] * 3


def test_a_method_that_either_run_could_not_judge_is_marked(tmp_path, run):
    safe = made_run(tmp_path, lambda _: "s")
    assert comparison_table(compare_runs(safe, run)).columns == ("off ⚠", "medium", "max ⚠")
    assert comparison_table(compare_runs(run, safe)).columns == ("off ⚠", "medium", "max ⚠")
