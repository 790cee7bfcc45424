"""The numbers of a study, where every answer is known."""

from __future__ import annotations

import math

import pytest

from safelatent.errors import BadValueError
from safelatent.metrics import binomial_p, krippendorff_alpha, two_way_rate
from safelatent.runs import read_run
from safelatent.study import preferences, study_report, table2_columns
from tests.study.made_studies import answer, made_study, prefer


def test_every_vote_counts_once_and_for_its_method(tmp_path):
    """Nine raters prefer *max*, one *off*; repeats are in no count."""
    study = made_study(tmp_path, 12, pairs=12, repeats=0.25)
    for rater in range(1, 11):
        answer(study, rater, prefer("off" if rater == 10 else "max"))
    one = preferences(study.folder)["fidelity"]["max"]
    assert (one.better, one.same, one.worse, one.votes) == (108, 0, 12, 120)
    assert (one.method, one.against, one.prompts, one.raters) == ("max", "off", 12, 10)
    assert one.share.value == one.at_least.value == 0.9
    assert one.p == binomial_p(108, 120)
    assert one.p_prompts == binomial_p(12, 12), "each prompt's majority prefers it"


def test_no_difference_is_half_a_vote(tmp_path):
    study = made_study(tmp_path, 10, pairs=10)
    for rater, rule in enumerate((prefer("max"), prefer("off"), prefer("max", ties=1)), 1):
        answer(study, rater, rule)
    one = preferences(study.folder)["alignment"]["max"]
    assert (one.better, one.same, one.worse) == (10, 10, 10)
    assert one.share.value == 0.5
    assert one.at_least.value == pytest.approx(2 / 3)
    assert one.p == one.p_prompts == 1


def test_the_interval_and_the_agreement_are_those_of_the_votes(tmp_path):
    study = made_study(tmp_path, 12, pairs=12, repeats=0)
    for rater in range(1, 5):
        answer(study, rater, prefer("max", share=0.7, ties=0.2, seed=rater))
    one = preferences(study.folder)["fidelity"]["max"]
    votes = []
    for rater in range(1, 5):
        rule = prefer("max", share=0.7, ties=0.2, seed=rater)
        for showing in study.session(rater):
            left, right = ("max", "off") if showing.swapped else ("off", "max")
            choice = rule("fidelity", left, right)
            rule("alignment", left, right)
            value = {"same": 0.5, "left": float(left == "max"), "right": float(right == "max")}
            votes.append((value[choice], study.comparisons[showing.comparison].prompt, rater))
    values, prompts, raters = (list(column) for column in zip(*votes, strict=True))
    share = two_way_rate(values, prompts, raters)
    assert (one.share.value, one.share.low, one.share.high) == pytest.approx(
        (share.value, share.low, share.high)
    )
    alpha = krippendorff_alpha(values, prompts, level="ordinal").alpha
    assert one.agreement.alpha == pytest.approx(alpha)
    assert one.agreement.units == 12


def test_three_methods_have_scores_in_the_planted_order(tmp_path):
    strength = {"off": -0.8, "medium": 0.0, "max": 0.8}

    def rule(rater):
        import random

        chance = random.Random(rater)

        def choose(_, left, right):
            odds = math.exp(strength[left] - strength[right])
            return "left" if chance.random() < odds / (1 + odds) else "right"

        return choose

    study = made_study(tmp_path, 16, methods="off,medium,max", pairs=48)
    for rater in range(1, 7):
        answer(study, rater, rule(rater))
    report = study_report(study)
    for scores in report.scores.values():
        assert sum(one.score for one in scores.values()) == pytest.approx(0)
        for method, truth in strength.items():
            assert scores[method].low <= truth <= scores[method].high
    assert {(one.method, one.against) for one in report.preferences} == {
        ("medium", "off"),
        ("max", "off"),
        ("max", "medium"),
    }
    assert set(preferences(study.folder)["fidelity"]) == {"medium", "max"}


def test_methods_without_a_vote_have_no_score(tmp_path):
    study = made_study(tmp_path, 3, methods="off,medium,max", pairs=9)
    answer(study, 1, prefer("max"), 1)
    report = study_report(study)
    assert all(math.isnan(one.score) for one in report.scores["fidelity"].values())
    empty = [one for one in report.preferences if not one.votes]
    assert empty
    for one in empty:
        assert math.isnan(one.share.value)
        assert (one.share.low, one.share.high, one.p) == (0, 1, 1)


def test_two_methods_have_no_scores(tmp_path):
    study = made_study(tmp_path, 3)
    answer(study, 1, prefer("max"))
    assert study_report(study).scores == {}


def test_consistency_is_by_method_and_not_by_side(tmp_path):
    """Repeats have their sides swapped: who prefers a method is consistent, who always presses
    left is not.
    """
    study = made_study(tmp_path, 12, pairs=12, repeats=0.25)
    answer(study, 1, prefer("max"))
    answer(study, 2, lambda *_: "left")
    report = study_report(study)
    for question in ("fidelity", "alignment"):
        assert (report.consistent[question].value, report.consistent[question].n) == (0.5, 6)
    one, other = report.raters
    assert (one.rater, one.answered, one.pages) == (1, 15, 15)
    assert (one.consistent, other.consistent) == ((6, 6), (0, 6))
    assert other.left == (24, 24), "of the first answers to two questions, without the repeats"
    assert report.left["fidelity"].value > 0.5


def test_a_session_that_was_left_counts_as_far_as_it_goes(tmp_path):
    study = made_study(tmp_path, 12, pairs=12)
    answer(study, 4, prefer("max"), 5)
    report = study_report(study)
    assert [(one.rater, one.answered, one.pages) for one in report.raters] == [(4, 5, 13)]
    assert report.votes == 10


def test_without_an_answer_there_is_no_report(tmp_path):
    study = made_study(tmp_path, 2)
    with pytest.raises(BadValueError, match="has no answer yet; send the links"):
        study_report(study)
    with pytest.raises(BadValueError, match="holds no study"):
        preferences(tmp_path)


def test_table_2_has_the_shares_against_the_unguarded_images(tmp_path):
    study = made_study(tmp_path, 6, methods="off,medium,max", questions="alignment")
    run = read_run(tmp_path / "run")
    answer(study, 1, prefer("max"))
    found = table2_columns(study, run)
    assert set(found) == {"medium", "max"}
    assert found["max"].alignment == preferences(study.folder)["alignment"]["max"].share
    assert found["max"].fidelity is None


def test_table_2_takes_no_study_of_another_model_or_without_unguarded_images(tmp_path):
    study = made_study(tmp_path, 3, methods="medium,max")
    run = read_run(tmp_path / "run")
    answer(study, 1, prefer("max"))
    with pytest.raises(BadValueError, match="has no unguarded images; Table 2 compares with them"):
        table2_columns(study, run)
    object.__setattr__(study, "source", {"model": "another", "model files, sha256": "f" * 64})
    with pytest.raises(BadValueError, match="is of the model 'another', the run of 'no model'"):
        table2_columns(study, run)
