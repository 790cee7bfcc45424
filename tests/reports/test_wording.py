from __future__ import annotations

from dataclasses import replace

from safelatent.evaluation.examples import Sample
from safelatent.evaluation.report import report_of
from safelatent.evaluation.table1 import FilePercentages, table1
from safelatent.metrics import expected_maximum
from safelatent.prompts import Prompt
from safelatent.reports import wording
from tests.evaluation.made_runs import made_run
from tests.evaluation.test_over_refusal import FRIENDLY


def test_the_summary_names_the_smallest_share_and_what_was_not_judged(tmp_path):
    first, second = wording.summary(table1(made_run(tmp_path)))
    assert first.startswith("Without a guard, 0.67 (")
    assert second.startswith("With a guard, the smallest share is that of max: 0.00 (")
    assert second.endswith("with 2 (25 %) not judged.")


def test_the_summary_of_one_method(tmp_path):
    (guarded,) = wording.summary(table1(made_run(tmp_path / "a", lambda _: "i", methods=("weak",))))
    assert guarded.startswith("With a guard, the smallest share is that of weak: 1.00 (")
    assert guarded.endswith(").")
    (off,) = wording.summary(table1(made_run(tmp_path / "b", lambda _: "i", methods=("off",))))
    assert off.startswith("Without a guard, 1.00")


def test_the_summary_names_all_methods_of_the_smallest_share(tmp_path):
    run = made_run(tmp_path, lambda item: "i" if item.method in ("off", "weak") else "s")
    _, guarded = wording.summary(table1(run))
    best = " and ".join(one for one in run.settings.methods if one not in ("off", "weak"))
    assert " and " in best
    assert guarded.startswith(f"With a guard, the smallest share is that of {best}: 0.00 (")


def test_the_command_lines_are_fit_for_a_shell(tmp_path):
    report = report_of(made_run(tmp_path / "a run", lambda item: "s" if item.image else " "))
    commands = [command for _, command in wording.following(report)]
    assert commands[0] == f"safelatent bench run ... --out '{tmp_path / 'a run'}'"
    assert commands[1] == f"safelatent report '{tmp_path / 'a run'}' --against runs/other"
    assert commands[2] == f"safelatent bench fidelity '{tmp_path / 'a run'}' --reference FOLDER"
    assert commands[4] == f"safelatent report '{tmp_path / 'a run'}' --over-refusal FOLDER"
    assert len(commands) == 5


def test_over_refusal_stands_beside_the_figures_or_is_said_to_be_missing(tmp_path):
    report = report_of(made_run(tmp_path / "a"))
    assert wording.over_refusal(report).startswith("Over-refusal was not measured")
    harmless = made_run(tmp_path / "b", prompts=FRIENDLY)
    report = report_of(made_run(tmp_path / "c"), None, harmless)
    said = wording.over_refusal(report)
    assert said.startswith("Over-refusal, the share of images of 4 harmless prompts (made) that an")
    assert "cannot be used: off 0.75 (" in said
    assert len(wording.following(report)) == 3


def test_a_first_reader_learns_what_was_done_and_what_the_methods_are(tmp_path):
    methods = ("off", "negative prompt", "weak", "max")
    table = table1(made_run(tmp_path / "a", lambda _: "s", methods=methods))
    said = wording.measured(table, "exact")
    assert said.startswith("4 prompts, 2 images each, with 4 methods from the same noise")
    assert "“off” generates without a guard" in said
    assert "“negative prompt” steers away from the concept" in said
    assert "“weak, max”: Safe Latent Diffusion" in said
    assert "plan" not in said
    assert "follow the plan “concept=5”" in wording.measured(table, "concept=5")
    alone = table1(made_run(tmp_path / "b", lambda _: "s", methods=("off",)))
    assert "with 1 method from" in wording.measured(alone, "exact")
    assert "Safe Latent Diffusion" not in wording.measured(alone, "exact")


def test_what_was_not_judged_is_said_once(tmp_path):
    assert (
        wording.unjudged(table1(made_run(tmp_path / "a"))).count(
            "could not be judged: off 2 (25 %), max 2 (25 %)."
        )
        == 1
    )
    assert wording.unjudged(table1(made_run(tmp_path / "b", lambda _: "s"))) == ""


def test_a_run_of_too_few_prompts_says_so(tmp_path, table):
    assert "Only 4 distinct prompts could be judged" in wording.few(table)
    prompts = [Prompt(text=f"text {n}", id=f"p-{n}") for n in range(10)]
    enough = made_run(tmp_path / "a", lambda _: "s", prompts, methods=("off",))
    assert wording.few(table1(enough)) == ""
    errors = made_run(tmp_path / "b", lambda _: "e", methods=("off",))
    assert wording.few(table1(errors)) == "", "there is no interval at all"


def test_where_published_numbers_come_from_depends_on_the_prompts(run):
    report = report_of(run)
    assert wording.beside(report) == []

    def beside(**changes):
        (line,) = wording.beside(replace(report, table=replace(report.table, **changes)))
        return line

    percentages = {"overall": FilePercentages(share=0.4, maximum=expected_maximum([40.0]))}
    assert "This run measures something else: the model is no model" in beside(i2p="whole")
    assert "so they are not shown" in beside(i2p="part")
    assert "exactly these prompts, on SD 1.4" in beside(i2p="part", from_file=percentages)
    assert "exactly these prompts, on SD 1.4" in beside(i2p="whole", from_file=percentages)
    own = beside(from_file=percentages)
    assert "the prompts' file states" in own
    assert "SD 1.4" not in own


def test_what_a_page_leaves_out_is_said():
    assert wording.shown(Sample(groups=(), shown=84, total=84)) == (
        "All 84 images of the run, by prompt and noise."
    )
    some = wording.shown(Sample(groups=(), shown=400, total=12_000))
    assert some.startswith("Showing 400 of 12,000 images: all of them would make the page too")


def test_without_unguarded_images_the_missing_numbers_are_explained(tmp_path, table):
    assert wording.without_off(table) == ""
    for methods, said in ((("max",), "has no unguarded images"), (("off",), "has only unguarded")):
        alone = table1(made_run(tmp_path / methods[0], lambda _: "s", methods=methods))
        assert said in wording.without_off(alone)
