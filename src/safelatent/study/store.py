"""The answers of a study, in SQLite or PostgreSQL, and the votes that they are. One study per
database.

An answer is stored by one transaction, synced to the disk, before anything else is shown. The
primary key lets no page be answered twice, whoever asks and how often, and whatever is killed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from safelatent.errors import BadValueError
from safelatent.generation.methods import Method
from safelatent.study.database import (
    another_study,
    database_errors,
    engine_of,
    shown,
    study_in,
    tables_of,
)
from safelatent.study.folder import LINKS, Study, StudyError
from safelatent.study.plan import CHOICES, Choice, Question
from safelatent.study.writer import Writer

_KNOWN = frozenset(CHOICES)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer to one question about one pair.

    Attributes:
        rater: number of the rater.
        position: of the page in the rater's session, counted from 0.
        question: which.
        comparison: number of the pair in the study.
        left: method of the image on the left.
        choice: ``left``, ``same`` or ``right``, as the rater saw the pair.
        at: when it was stored, UTC.
    """

    rater: int
    position: int
    question: Question
    comparison: int
    left: str
    choice: Choice
    at: datetime


class Answers:
    """The answers of one study, open; use it in a ``with`` block. Any number of threads may use it.

    Raises:
        StudyError: the database cannot be reached, read or written.
        BadValueError: it holds another study, or its address is none of PostgreSQL's.
        UnsupportedError: the extra ``study`` is not installed.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._engine = engine_of(study.folder, study.database)
        self._tables = tables_of()
        self._writer = Writer(self._engine)
        try:
            with self._errors():
                self._bind()
        except BaseException:
            self._engine.dispose()
            raise

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    def agree(self, rater: int) -> None:
        """Store that the rater agreed to the consent text; once is enough."""
        with self._errors():
            row = {"rater": rater, "agreed_at": _now()}
            self._writer.insert(self._table("raters"), [row])

    def position(self, rater: int) -> int | None:
        """Return the rater's next page; None before the consent."""
        with self._errors(), self._engine.connect() as database:
            return database.execute(self._position, {"rater": rater}).scalar_one_or_none()

    @cached_property
    def _position(self) -> Any:
        """The query of ``position``, which every page asks."""
        import sqlalchemy as sql

        raters, answers, rater = (*map(self._table, ("raters", "answers")), sql.bindparam("rater"))
        done = sql.select(sql.func.count(answers.c.position.distinct()))
        done = done.where(answers.c.rater == rater).scalar_subquery()
        return sql.select(done).where(raters.c.rater == rater)

    def save(self, rater: int, position: int, choices: Mapping[Question, Choice]) -> bool:
        """Store the answers of a page together, and sync them to the disk.

        Returns:
            False, and nothing is stored, if the page is not the rater's next one: it was answered
            before, perhaps at the same moment from another window, or it is none.

        Raises:
            BadValueError: an answer is missing, or none of ``CHOICES``.
            StudyError: the database cannot be used; nothing is stored.
        """
        if tuple(choices) != self._study.settings.questions or not set(choices.values()) <= _KNOWN:
            raise BadValueError(
                f"the answers are {dict(choices)!r:.100}; give one of {', '.join(CHOICES)} for each"
                f" of {', '.join(self._study.settings.questions)}"
            )
        pages = self._study.session(rater)
        if self.position(rater) != position or position >= len(pages):
            return False
        showing = pages[position]
        left = self._study.comparisons[showing.comparison].methods[showing.swapped]
        rows = [
            {
                "rater": rater,
                "position": position,
                "question": question,
                "comparison": showing.comparison,
                "shown_left": left,
                "choice": choice,
                "answered_at": _now(),
            }
            for question, choice in choices.items()
        ]
        with self._errors():
            return self._writer.insert(self._table("answers"), rows) == len(rows)

    def all(self) -> list[Answer]:
        """Return every answer, by rater, position and question.

        Raises:
            StudyError: an answer is not one that the study can have.
        """
        import sqlalchemy as sql

        table = self._table("answers")
        order = sql.select(table).order_by(table.c.rater, table.c.position, table.c.question)
        with self._errors(), self._engine.connect() as database:
            rows = database.execute(order).all()
        return [self._answer(*row) for row in rows]

    def _answer(
        self, rater: int, position: int, question: str, comparison: int, left: str, *rest: Any
    ) -> Answer:
        """Check an answer against what the rater was shown."""
        pages = self._study.session(rater)
        showing = pages[position] if 0 <= position < len(pages) else None
        known = self._study.settings.questions
        if (
            showing is None
            or showing.comparison != comparison
            or self._study.comparisons[comparison].methods[showing.swapped] != left
            or question not in known
            or rest[0] not in CHOICES
        ):
            raise StudyError(
                f"the answers of {self._study.folder} are damaged: rater {rater} was never shown"
                f" pair {comparison} with {left!r:.40} on the left as page {position + 1}; restore"
                " the database from a copy"
            )
        return Answer(
            rater=rater,
            position=position,
            question=known[known.index(question)],  # pyright: ignore[reportArgumentType]
            comparison=comparison,
            left=left,
            choice=rest[0],
            at=rest[1],
        )

    def _bind(self) -> None:
        """Make the tables in an empty database; refuse one of another study."""
        found = study_in(self._engine, self._tables)
        if found is None:
            self._check_new()
            with self._engine.begin() as database:
                self._tables.create_all(database)
                database.execute(self._table("study").insert().values(id=self._study.id))
        elif found != self._study.id:
            raise another_study(self._study.folder, self._study.database)

    def _check_new(self) -> None:
        """Refuse an empty database if the study was served: its answers are elsewhere, and those
        that followed would be the first ones again.
        """
        if (self._study.folder / LINKS).exists():
            raise StudyError(
                f"the database {shown(self._study.folder, self._study.database)} is empty, and the"
                f" study was served before; restore it from a copy, or delete {LINKS} to begin anew"
            )

    def _table(self, name: str) -> Any:
        return self._tables.tables[name]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with database_errors(self._study.folder, self._study.database):
            yield


def bind(study: Study) -> None:
    """Make the tables of a new study."""
    with Answers(study):
        pass


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


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)
