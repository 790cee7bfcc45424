"""Rows of many threads in few transactions: all of them, once, or the error of each."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from safelatent.study.writer import Writer

TABLES = sql.MetaData()
# Named as the study's own, which the next test drops.
TABLE = sql.Table(
    "answers",
    TABLES,
    sql.Column("n", sql.Integer, primary_key=True),
    sql.Column("who", sql.Integer, sql.CheckConstraint("who < 100"), nullable=False),
)


@pytest.fixture
def engine(tmp_path, database):
    address = f"sqlite:///{tmp_path / 'x.sqlite'}" if database is None else database
    made = sql.create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
    TABLES.create_all(made)
    yield made
    made.dispose()


def stored(engine) -> dict[int, int]:
    with engine.connect() as database:
        return {row.n: row.who for row in database.execute(sql.select(TABLE))}


def at_once(count: int, work) -> None:
    barrier = threading.Barrier(count)

    def one(number):
        barrier.wait()
        work(number)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_row_that_is_there_stays_as_it_is(engine):
    writer = Writer(engine)
    assert writer.insert(TABLE, [{"n": 1, "who": 1}, {"n": 2, "who": 1}]) == 2
    assert writer.insert(TABLE, [{"n": 2, "who": 2}, {"n": 3, "who": 2}]) == 1
    assert stored(engine) == {1: 1, 2: 1, 3: 2}


def test_of_many_with_one_key_one_is_told_that_it_is_new(engine):
    writer, new = Writer(engine), []
    at_once(12, lambda n: new.append(n) if writer.insert(TABLE, [{"n": 7, "who": n}]) else None)
    assert len(new) == 1
    assert stored(engine) == {7: new[0]}


def test_those_that_wait_are_committed_together(engine):
    """While the first commits, eleven come: two transactions for all of them."""
    writer, commits = Writer(engine), []
    begun, wait = threading.Event(), threading.Event()

    def slow(_):
        commits.append(1)
        begun.set()
        assert wait.wait(60)

    sql.event.listen(engine, "commit", slow)
    threads = [
        threading.Thread(target=writer.insert, args=(TABLE, [{"n": n, "who": n}]))
        for n in range(12)
    ]
    threads[0].start()
    assert begun.wait(60)
    for thread in threads[1:]:
        thread.start()
    while len(writer._queue) < 11:
        pass
    wait.set()
    for thread in threads:
        thread.join()
    assert len(commits) == 2
    assert stored(engine) == {n: n for n in range(12)}


def test_an_error_is_everyones_and_nothing_of_it_is_stored(engine):
    writer, failed, kept = Writer(engine), [], []

    def work(n):
        try:
            writer.insert(TABLE, [{"n": n, "who": n}, {"n": 100 + n, "who": 99 + (n == 3)}])
            kept.append(n)
        except IntegrityError:
            failed.append(n)

    at_once(8, work)
    assert 3 in failed
    assert sorted(kept + failed) == list(range(8))
    assert sorted(n for n in stored(engine) if n < 100) == sorted(kept)
    assert writer.insert(TABLE, [{"n": 50, "who": 50}]) == 1, "and it still works"
