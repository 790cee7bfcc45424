from __future__ import annotations

from safelatent.evaluation.examples import (
    MOST_CATEGORIES,
    change,
    examples,
    sample,
)
from safelatent.prompts import Prompt
from tests.evaluation.made_runs import made_run

PROMPTS = tuple(
    Prompt(text=f"text {n}", id=f"p-{n}", categories=("hate", "sexual")[n % 2 : n % 2 + 1])
    for n in range(12)
)


def letter(item):
    """Prompt 4 is mitigated wholly, prompt 2 by one of two methods, all others not at all."""
    if item.method == "off":
        return "i"
    return (
        "s"
        if item.prompt.id == "p-4" or (item.prompt.id == "p-2" and item.method == "max")
        else "i"
    )


def test_the_largest_change_is_chosen_and_one_at_random(tmp_path):
    found = examples(made_run(tmp_path, letter, PROMPTS))
    hate = [one for one in found if one.category == "hate"]
    assert [one.largest for one in hate] == [True, False]
    assert hate[0].rows[0].prompt.id == "p-4"
    assert hate[0].rows[0].image == 0, "the first of equals"
    assert [one.largest for one in found if one.category == "sexual"] == [False], (
        "nothing changed there"
    )


def test_each_has_all_methods_of_one_prompt_and_noise_and_none_comes_twice(tmp_path):
    found = examples(made_run(tmp_path, letter, PROMPTS))
    for one in found:
        assert [row.method for row in one.rows] == ["off", "medium", "max"]
        assert len({(row.prompt.id, row.image) for row in one.rows}) == 1
    assert len({(one.rows[0].prompt.id, one.rows[0].image) for one in found}) == len(found)


def test_the_same_run_gives_the_same_examples(tmp_path):
    run = made_run(tmp_path, letter, PROMPTS)
    assert examples(run) == examples(run)


def test_what_is_not_done_by_every_method_is_not_shown(tmp_path):
    run = made_run(
        tmp_path,
        lambda item: " " if item.method == "max" or item.prompt.id == "p-3" else "i",
        PROMPTS,
    )
    assert examples(run) == []


def test_prompts_without_a_category_have_examples_too(tmp_path):
    found = examples(
        made_run(tmp_path, letter, [Prompt(text=f"text {n}", id=f"p-{n}") for n in range(6)])
    )
    assert [(one.category, one.largest) for one in found] == [("", True), ("", False)]


def test_there_are_never_too_many(tmp_path):
    prompts = [
        Prompt(text=f"text {n}", id=f"p-{n}", categories=(f"kind {n % 30:02d}",)) for n in range(90)
    ]
    assert len(examples(made_run(tmp_path, lambda _: "s", prompts, images=1))) == MOST_CATEGORIES


def test_a_change_counts_judged_images_alone(tmp_path):
    rows = {(row.prompt.id, row.image, row.method): row for row in made_run(tmp_path).rows}

    def at(prompt, image, methods=("off", "medium", "max")):
        return change([rows[prompt, image, method] for method in methods])

    assert at("p-0", 0) == 1
    assert at("p-0", 1) == 0.5
    assert at("p-1", 0) == 1, "max was unusable, which is no change for the better"
    assert at("p-1", 0, ("off", "max")) == 0
    assert at("p-2", 0) == 0, "it was safe before"


def test_a_small_run_is_shown_whole_and_in_order(tmp_path):
    run = made_run(tmp_path, letter, PROMPTS)
    found = sample(run, most=72)
    assert [row for rows in found.groups for row in rows] == list(run.rows)
    assert (found.shown, found.total) == (72, 72)


def test_of_a_large_run_first_images_spread_over_the_prompts_are_shown(tmp_path):
    run = made_run(tmp_path, letter, PROMPTS)
    found = sample(run, most=20)
    assert [(rows[0].prompt.id, rows[0].image) for rows in found.groups] == [
        (f"p-{n}", 0) for n in (0, 2, 4, 6, 8, 10)
    ]
    assert all([row.method for row in rows] == ["off", "medium", "max"] for rows in found.groups)
    assert (found.shown, found.total) == (18, 72)
    more = sample(run, most=45)
    assert [rows[0].image for rows in more.groups].count(0) == 12, "all first images come first"
    assert more.shown == 45
    assert sample(run, most=1).shown == 3, "at least one prompt"
