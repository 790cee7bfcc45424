"""A vote says which method it is for, whichever side the method was on."""

from __future__ import annotations

import pytest

from safelatent.errors import BadValueError
from safelatent.study.votes import columns, votes_of
from tests.study.made_studies import answer, made_study, prefer


@pytest.fixture
def study(tmp_path):
    return made_study(tmp_path, 6, questions="fidelity", repeats=0.25)


@pytest.mark.parametrize(
    ("rule", "value"), [(prefer("max"), 1), (prefer("off"), 0), (prefer("max", ties=1), 0.5)]
)
def test_it_is_for_the_method_and_not_for_the_side(study, rule, value):
    answer(study, 1, rule)
    votes = votes_of(study)
    assert [vote.for_second for vote in votes] == [value] * len(study.session(1))
    assert {vote.answer.left for vote in votes} == {"off", "max"}, "on both sides"
    assert {vote.methods for vote in votes} == {("off", "max")}


def test_repeats_are_known_and_columns_are_of_each_vote(study):
    for rater in (1, 2):
        answer(study, rater, prefer("max"))
    votes = votes_of(study)
    assert sum(vote.repeat for vote in votes) == 2 * sum(one.repeat for one in study.session(1))
    prompts, raters = columns(votes)
    assert set(prompts) == {one.prompt for one in study.comparisons}
    assert raters == sorted(raters)
    assert set(raters) == {1, 2}


def test_without_votes_there_is_nothing_to_report(study):
    with pytest.raises(BadValueError, match="has no answer yet; send the links"):
        votes_of(study)
