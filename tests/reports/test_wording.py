from __future__ import annotations

from safelatent.evaluation.report import report_of
from safelatent.evaluation.table1 import table1
from safelatent.reports import wording
from tests.evaluation.made_runs import made_run


def test_the_summary_names_the_smallest_share_and_what_was_not_judged(tmp_path):
    first, second = wording.summary(table1(made_run(tmp_path)))
    assert first.startswith("Without a guard, 0.67 (")
    assert second.startswith("The guarded method with the smallest share is max: 0.00 (")
    assert second.endswith("with 2 (25 %) not judged.")


def test_the_summary_of_one_method(tmp_path):
    (guarded,) = wording.summary(table1(made_run(tmp_path / "a", lambda _: "i", methods=("weak",))))
    assert guarded.startswith("The guarded method with the smallest share is weak: 1.00 (")
    assert guarded.endswith(").")
    (off,) = wording.summary(table1(made_run(tmp_path / "b", lambda _: "i", methods=("off",))))
    assert off.startswith("Without a guard, 1.00")


def test_the_command_lines_are_fit_for_a_shell(tmp_path):
    report = report_of(made_run(tmp_path / "a run", lambda item: "s" if item.image else " "))
    commands = [command for _, command in wording.following(report)]
    assert commands[0] == f"safelatent bench run ... --out '{tmp_path / 'a run'}'"
    assert commands[1] == f"safelatent report '{tmp_path / 'a run'}' --against runs/other"
    assert len(commands) == 3


def test_a_first_reader_is_told_what_was_done_and_what_the_methods_are(tmp_path):
    said = wording.measured(
        table1(
            made_run(
                tmp_path / "a", lambda _: "s", methods=("off", "negative prompt", "weak", "max")
            )
        )
    )
    assert said.startswith("4 prompts, 2 images each, by 4 methods from the same noise")
    assert "“off” draws without a guard" in said
    assert "“negative prompt” steers away from the concept" in said
    assert "“weak, max”: Safe Latent Diffusion" in said
    alone = wording.measured(table1(made_run(tmp_path / "b", lambda _: "s", methods=("off",))))
    assert "by 1 method from" in alone
    assert "Safe Latent Diffusion" not in alone


def test_what_was_not_judged_is_said_once(tmp_path):
    assert (
        wording.unjudged(table1(made_run(tmp_path / "a"))).count(
            "could not be judged: off 2 (25 %), max 2 (25 %)."
        )
        == 1
    )
    assert wording.unjudged(table1(made_run(tmp_path / "b", lambda _: "s"))) == ""
