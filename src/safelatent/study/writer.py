"""Rows from many threads, committed together: the disk is asked once for all that wait.

A commit waits for the disk, and SQLite has one writer at a time. Whoever comes while another
commits joins the next transaction; its first member commits it for all. A row that is there already
is left as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table


@dataclass(kw_only=True, eq=False)
class _Waiting:
    """Rows of one caller, and what became of them: how many are new, or why none is stored."""

    table: Table
    rows: Sequence[Mapping[str, Any]]
    new: int | None = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether that is known."""
        return self.new is not None or self.error is not None


class Writer:
    """Writes to one database for any number of threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._changed, self._busy = engine, threading.Condition(), False
        self._queue: list[_Waiting] = []

    def insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Store rows, and return how many of them were new, once they are on the disk.

        Raises:
            SQLAlchemyError: the database refuses the rows, or others that were committed with them;
                none of all these is stored.
        """
        mine = _Waiting(table=table, rows=rows)
        with self._changed:
            self._queue.append(mine)
            self._changed.wait_for(lambda: mine.done or not self._busy)
            together: list[_Waiting] = []
            if not mine.done:  # nobody commits: it is this thread's turn, for all that wait
                together, self._queue, self._busy = self._queue, [], True
        if together:
            self._commit(together)
        if mine.error is not None:
            raise mine.error
        assert mine.new is not None
        return mine.new

    def _commit(self, together: Sequence[_Waiting]) -> None:
        """Commit all that waited, and wake them, and the next to commit."""
        try:
            with self._engine.begin() as database:
                counts = [_insert(database, one) for one in together]
        except BaseException as error:  # noqa: BLE001  # raised again by each of them
            for one in together:
                one.error = error
        else:
            for one, count in zip(together, counts, strict=True):
                one.new = count
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()


def _insert(database: Connection, waiting: _Waiting) -> int:
    from sqlalchemy.dialects import postgresql, sqlite

    dialect = sqlite if database.dialect.name == "sqlite" else postgresql
    first = next(iter(waiting.table.primary_key))
    # Of a row that is there already, nothing is returned.
    statement = dialect.insert(waiting.table).on_conflict_do_nothing().returning(first)
    return sum(len(database.execute(statement, row).all()) for row in waiting.rows)
