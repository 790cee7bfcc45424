"""Votes: the answers of a study together with what they were about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from safelatent.errors import BadValueError
from safelatent.generation.methods import Method
from safelatent.study.folder import Study
from safelatent.study.store import Answer, Answers


@dataclass(frozen=True, kw_only=True)
class Vote:
    """An answer and its study."""

    study: Study
    answer: Answer

    @property
    def repeat(self) -> bool:
        """Whether the rater had seen the pair before."""
        return self.study.session(self.answer.rater)[self.answer.position].repeat

    @property
    def methods(self) -> tuple[Method, Method]:
        """The two that were compared, in the study's order."""
        return self.study.comparisons[self.answer.comparison].methods

    @property
    def prompt(self) -> str:
        """The prompt's text."""
        return self.study.comparisons[self.answer.comparison].prompt

    @property
    def for_second(self) -> float:
        """1 for the later of the two methods, 0 for the earlier, 0.5 for neither."""
        if self.answer.choice == "same":
            return 0.5
        return float((self.answer.choice == "left") == (self.answer.left == self.methods[1]))


def votes_of(study: Study) -> list[Vote]:
    """Return every vote, by rater and page.

    Raises:
        BadValueError: there is none yet, or the database is another study's.
        StudyError: the database cannot be used.
        UnsupportedError: the extra ``study`` is not installed.
    """
    with Answers(study) as answers:
        votes = [Vote(study=study, answer=answer) for answer in answers.all()]
    if not votes:
        raise BadValueError(
            f"the study in {str(study.folder)!r} has no answer yet; send the links of"
            " `safelatent study serve` to raters first"
        )
    return votes


def columns(votes: Sequence[Vote]) -> tuple[list[str], list[int]]:
    """Return the prompt and the rater of each vote."""
    return [vote.prompt for vote in votes], [vote.answer.rater for vote in votes]
