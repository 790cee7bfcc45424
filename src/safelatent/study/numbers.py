"""The numbers of a study: preferences, tests, scores, agreement, and how each rater answered.

The first answer to a pair counts; a repeat only says how consistent the rater is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from safelatent.errors import BadValueError
from safelatent.generation.methods import Method
from safelatent.metrics import (
    Agreement,
    Rate,
    Score,
    binomial_p,
    bradley_terry,
    krippendorff_alpha,
    two_way_rate,
)
from safelatent.reports import table2
from safelatent.runs.read import Run
from safelatent.study.folder import Study, read_study
from safelatent.study.plan import Question
from safelatent.study.store import Vote, columns, votes_of


@dataclass(frozen=True, kw_only=True)
class Preference:
    """How people compared a method with another, on one question.

    Attributes:
        question: which.
        method, against: the two.
        better, same, worse: votes for the method, for neither, and for the other.
        share: of votes for the method, "no difference" as half a vote for each.
        at_least: share of votes that found the method better or saw no difference.
        p: exact two-sided p-value of ``better`` among the votes for either, against one half, as
            if all votes were independent.
        p_prompts: the same test with one vote per prompt, its majority.
        prompts, raters: how many distinct ones the votes are of.
        agreement: Krippendorff's alpha, ordinal: better, same, worse.
    """

    question: Question
    method: Method
    against: Method
    better: int
    same: int
    worse: int
    share: Rate
    at_least: Rate
    p: float
    p_prompts: float
    prompts: int
    raters: int
    agreement: Agreement

    @property
    def votes(self) -> int:
        """Number of votes."""
        return self.better + self.same + self.worse


@dataclass(frozen=True, kw_only=True)
class RaterLine:
    """How one rater answered.

    Attributes:
        rater: number.
        answered, pages: pages that the rater has answered, of all of the session.
        left: share of answers "left" among those that are not "no difference", without repeats.
        consistent: share of the answers to repeated pairs that are the same as at first.
    """

    rater: int
    answered: int
    pages: int
    left: tuple[int, int]
    consistent: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """Everything that a report says of a study.

    Attributes:
        study: which.
        preferences: each two methods on each question, the later method against the earlier.
        scores: Bradley-Terry scores by question and method; empty for two methods.
        consistent: share of equal answers to repeated pairs, by question.
        left: share of answers "left" among those that are not "no difference", by question.
        raters: those who answered.
    """

    study: Study
    preferences: tuple[Preference, ...]
    scores: Mapping[Question, Mapping[Method, Score]]
    consistent: Mapping[Question, Rate]
    left: Mapping[Question, Rate]
    raters: tuple[RaterLine, ...]

    @property
    def baseline(self) -> Method:
        """What the other methods are compared with: the first of the study, ``off`` if it is in
        it.
        """
        return self.study.settings.methods[0]

    @property
    def votes(self) -> int:
        """Number of answers that count."""
        return sum(one.votes for one in self.preferences)

    def preference(self, question: Question, method: Method, against: Method) -> Preference:
        """Return one comparison, as it was computed: the later method against the earlier."""
        return next(
            one
            for one in self.preferences
            if (one.question, one.method, one.against) == (question, method, against)
        )


def preferences(folder: str | Path) -> dict[Question, dict[Method, Preference]]:
    """Return, by question and method, how people compared each method of a study with its first
    one, which is ``off`` if that is in the study: the people's columns of the paper's Table 2.

    Raises:
        BadValueError: there is no study in the folder, or it has no answer yet.
        StudyError: the folder or the database cannot be used.
        UnsupportedError: the extra ``study`` is not installed.
    """
    report = study_report(read_study(folder))
    return {
        question: {
            method: report.preference(question, method, report.baseline)
            for method in report.study.settings.methods[1:]
        }
        for question in report.study.settings.questions
    }


def table2_columns(study: Study, run: Run) -> dict[str, table2.PreferenceRates]:
    """Return the people's columns of Table 2 by method: how often people preferred it to the
    unguarded image.

    Args:
        study: which.
        run: whose Table 2 it is; the study must be of the same model.

    Raises:
        BadValueError: the study is of another model, has no unguarded images, or no answer yet.
        StudyError: the database cannot be used.
    """
    if study.source.get("model files, sha256") != run.settings.model_digest:
        raise BadValueError(
            f"the study in {str(study.folder)!r} is of the model {study.source.get('model')!r:.80},"
            f" the run of {run.settings.model!r:.80}; name a study of the run's model"
        )
    report = study_report(study)
    if report.baseline != "off":
        raise BadValueError(
            f"the study in {str(study.folder)!r} has no unguarded images; Table 2 compares with"
            " them: create one with `--methods off,...`"
        )
    asked = study.settings.questions
    return {
        method: table2.PreferenceRates(
            **{question: report.preference(question, method, "off").share for question in asked}
        )
        for method in study.settings.methods[1:]
    }


def study_report(study: Study) -> StudyReport:
    """Compute the numbers of a study, finished or not.

    Raises:
        BadValueError: it has no answer yet, or the database is another study's.
        StudyError: the database cannot be used.
        UnsupportedError: the extra ``study`` is not installed.
    """
    votes = votes_of(study)
    counted = [vote for vote in votes if not vote.repeat]
    questions, methods = study.settings.questions, study.settings.methods
    by_question = {q: [v for v in counted if v.answer.question == q] for q in questions}
    return StudyReport(
        study=study,
        preferences=tuple(
            _preference(question, later, earlier, by_question[question])
            for question in questions
            for earlier, later in combinations(methods, 2)
        ),
        scores={q: _scores(methods, by_question[q]) for q in questions if len(methods) > 2},
        consistent={
            q: _consistent([v for v in votes if v.answer.question == q]) for q in questions
        },
        left={q: _left(by_question[q]) for q in questions},
        raters=_raters(study, votes),
    )


def _preference(
    question: Question, method: Method, against: Method, votes: Sequence[Vote]
) -> Preference:
    chosen = [vote for vote in votes if vote.methods == (against, method)]
    values, (prompts, raters) = [vote.for_second for vote in chosen], columns(chosen)
    better, worse = values.count(1.0), values.count(0.0)
    majorities = [
        sum(v - 0.5 for v, p in zip(values, prompts, strict=True) if p == prompt)
        for prompt in set(prompts)
    ]
    won, lost = (sum(m > 0 for m in majorities), sum(m < 0 for m in majorities))
    return Preference(
        question=question,
        method=method,
        against=against,
        better=better,
        same=values.count(0.5),
        worse=worse,
        share=two_way_rate(values, prompts, raters),
        at_least=two_way_rate([value > 0 for value in values], prompts, raters),
        p=binomial_p(better, better + worse),
        p_prompts=binomial_p(won, won + lost),
        prompts=len(set(prompts)),
        raters=len(set(raters)),
        agreement=krippendorff_alpha(
            values, [vote.answer.comparison for vote in chosen], prompts, level="ordinal"
        ),
    )


def _scores(methods: Sequence[Method], votes: Sequence[Vote]) -> dict[Method, Score]:
    first, second = ([methods.index(v.methods[n]) for v in votes] for n in (0, 1))
    values = [1 - vote.for_second for vote in votes]
    found = bradley_terry(first, second, values, *columns(votes))
    if len(found) < len(methods):  # the last methods have no vote yet
        found = [Score(score=math.nan, low=-math.inf, high=math.inf)] * len(methods)
    return dict(zip(methods, found, strict=True))


def _consistent(votes: Sequence[Vote]) -> Rate:
    """Return the share of repeats with the answer of the first time, by method and not by side."""
    first = {(v.answer.rater, v.answer.comparison): v.for_second for v in votes if not v.repeat}
    again = [vote for vote in votes if vote.repeat]
    equal = [v.for_second == first[v.answer.rater, v.answer.comparison] for v in again]
    return two_way_rate(equal, *columns(again))


def _left(votes: Sequence[Vote]) -> Rate:
    decided = [vote for vote in votes if vote.answer.choice != "same"]
    return two_way_rate([vote.answer.choice == "left" for vote in decided], *columns(decided))


def _raters(study: Study, votes: Sequence[Vote]) -> tuple[RaterLine, ...]:
    return tuple(
        _rater(study, number, [vote for vote in votes if vote.answer.rater == number])
        for number in sorted({vote.answer.rater for vote in votes})
    )


def _rater(study: Study, number: int, votes: Sequence[Vote]) -> RaterLine:
    first = {(v.answer.question, v.answer.comparison): v.for_second for v in votes if not v.repeat}
    decided = [vote for vote in votes if vote.answer.choice != "same" and not vote.repeat]
    again = [vote for vote in votes if vote.repeat]
    equal = sum(v.for_second == first[v.answer.question, v.answer.comparison] for v in again)
    return RaterLine(
        rater=number,
        answered=len({vote.answer.position for vote in votes}),
        pages=len(study.session(number)),
        left=(sum(vote.answer.choice == "left" for vote in decided), len(decided)),
        consistent=(equal, len(again)),
    )
