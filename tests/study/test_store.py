"""Answers: stored once, for the rater who gave them, in both databases. A vote says which method it
is for, whichever side the method was on.
"""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime

import pytest

from safelatent.errors import BadValueError
from safelatent.study import Answers, StudyError
from safelatent.study.server import write_links
from safelatent.study.store import columns, votes_of
from tests.study.made_studies import answer, made_study, prefer

LEFT = {"fidelity": "left", "alignment": "same"}


@pytest.fixture
def study(tmp_path, database):
    return made_study(tmp_path, 6, database=database)


def test_answers_are_read_as_they_were_given(study):
    with Answers(study) as answers:
        answers.agree(2)
        assert answers.save(2, 0, LEFT)
    with Answers(study) as answers:  # opened again
        found = answers.all()
    showing = study.session(2)[0]
    assert [(one.question, one.choice) for one in found] == [
        ("alignment", "same"),
        ("fidelity", "left"),
    ]
    for one in found:
        assert (one.rater, one.position, one.comparison) == (2, 0, showing.comparison)
        assert one.left == ("max" if showing.swapped else "off")
        assert abs((datetime.now(UTC).replace(tzinfo=None) - one.at).total_seconds()) < 600


def test_nothing_is_answered_before_the_consent(study):
    with Answers(study) as answers:
        assert answers.position(1) is None
        assert not answers.save(1, 0, LEFT)
        answers.agree(1)
        answers.agree(1)  # once more changes nothing
        assert answers.position(1) == 0
        assert answers.save(1, 0, LEFT)
        assert answers.position(1) == 1


def test_a_database_that_was_emptied_is_not_begun_anew(study, database):
    """Else every rater would begin again, and nobody would notice that answers are gone."""
    answer(study, 1, prefer("max"))
    write_links(study, "http://x", 1)
    if database is None:
        for file in study.folder.glob("answers.sqlite*"):
            file.unlink()
    else:
        import psycopg

        with psycopg.connect(database) as connection:
            connection.execute("DROP TABLE answers, raters, study")
    for _ in range(2):
        with pytest.raises(StudyError, match="is empty, and the study was served before; restore"):
            Answers(study)
    (study.folder / "links.csv").unlink()
    with Answers(study) as answers:
        assert answers.all() == []


@pytest.mark.parametrize("position", [0, 2, 7, 99, -1])
def test_only_the_next_page_is_answered(study, position):
    with Answers(study) as answers:
        answers.agree(1)
        answers.save(1, 0, LEFT)
        assert not answers.save(1, position, LEFT | {"fidelity": "right"})
        assert [one.choice for one in answers.all()] == ["same", "left"]


def test_after_the_last_page_nothing_is_answered(study):
    answer(study, 1, prefer("max"))
    with Answers(study) as answers:
        end = answers.position(1)
        assert end == len(study.session(1))
        assert not answers.save(1, end, LEFT)


def test_raters_do_not_touch_each_other(study):
    answer(study, 1, prefer("max"), 3)
    answer(study, 2, prefer("off"), 5)
    with Answers(study) as answers:
        assert (answers.position(1), answers.position(2), answers.position(3)) == (3, 5, None)
        pages = Counter(one.rater for one in answers.all())
    assert pages == {1: 6, 2: 10}


def test_of_many_answers_to_one_page_at_once_one_is_stored(study):
    """From eight windows of one rater, all at the same moment."""
    with Answers(study) as answers:
        answers.agree(1)
        for page in range(3):
            barrier, stored = threading.Barrier(8), []

            def press(choice, page=page, barrier=barrier, stored=stored):
                barrier.wait()
                both = {"fidelity": choice, "alignment": choice}
                if answers.save(1, page, both):
                    stored.append(choice)

            threads = [
                threading.Thread(target=press, args=(("left", "right")[n % 2],)) for n in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            found = [one.choice for one in answers.all() if one.position == page]
            assert found == stored * 2
            assert len(stored) == 1


def test_many_raters_at_once_lose_no_answer(study):
    with Answers(study) as answers:
        for rater in range(1, 13):
            answers.agree(rater)

        def all_pages(rater):
            for page in range(len(study.session(rater))):
                assert answers.save(rater, page, LEFT)

        threads = [threading.Thread(target=all_pages, args=(n,)) for n in range(1, 13)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers.all()) == 2 * sum(len(study.session(n)) for n in range(1, 13))


@pytest.mark.parametrize(
    "change",
    ["shown_left = 'weak'", "comparison = 99", "position = 77", "question = 'other'"],
)
def test_answers_that_the_study_cannot_have_are_damage(tmp_path, change):
    import sqlite3

    study = made_study(tmp_path, 3)
    answer(study, 1, prefer("max"), 1)
    with sqlite3.connect(study.folder / "answers.sqlite") as database:
        database.execute(f"UPDATE answers SET {change} WHERE question = 'fidelity'")
    database.close()
    with Answers(study) as answers, pytest.raises(StudyError, match="rater 1 was never shown pair"):
        answers.all()


@pytest.mark.parametrize(
    "choices", [{"fidelity": "up", "alignment": "same"}, {"fidelity": "left"}, {}]
)
def test_what_is_no_answer_is_refused(tmp_path, choices):
    study = made_study(tmp_path, 3)
    with Answers(study) as answers:
        answers.agree(1)
        with pytest.raises(BadValueError, match=r"give one of left, same, right for each of fid"):
            answers.save(1, 0, choices)
        assert answers.all() == []


def test_sqlite_syncs_every_answer(tmp_path):
    """What a power cut must not take: the log is synced by every commit."""
    study = made_study(tmp_path, 2)
    with Answers(study) as answers, answers._engine.connect() as database:
        read = {
            name: database.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert read == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.fixture
def voted(tmp_path):
    return made_study(tmp_path, 6, questions="fidelity", repeats=0.25)


@pytest.mark.parametrize(
    ("rule", "value"), [(prefer("max"), 1), (prefer("off"), 0), (prefer("max", ties=1), 0.5)]
)
def test_it_is_for_the_method_and_not_for_the_side(voted, rule, value):
    answer(voted, 1, rule)
    votes = votes_of(voted)
    assert [vote.for_second for vote in votes] == [value] * len(voted.session(1))
    assert {vote.answer.left for vote in votes} == {"off", "max"}, "on both sides"
    assert {vote.methods for vote in votes} == {("off", "max")}


def test_repeats_are_known_and_columns_are_of_each_vote(voted):
    for rater in (1, 2):
        answer(voted, rater, prefer("max"))
    votes = votes_of(voted)
    assert sum(vote.repeat for vote in votes) == 2 * sum(one.repeat for one in voted.session(1))
    prompts, raters = columns(votes)
    assert set(prompts) == {one.prompt for one in voted.comparisons}
    assert raters == sorted(raters)
    assert set(raters) == {1, 2}


def test_without_votes_there_is_nothing_to_report(voted):
    with pytest.raises(BadValueError, match="has no answer yet; send the links"):
        votes_of(voted)
