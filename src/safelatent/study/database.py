"""The database of a study's answers: SQLite in the study's folder, or PostgreSQL by its address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safelatent.errors import BadValueError
from safelatent.optional import require
from safelatent.study.folder import ANSWERS, StudyError
from safelatent.study.plan import CHOICES
from safelatent.text import squeezed

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData

WAIT = 10  # seconds for PostgreSQL to answer
BUSY = 30  # seconds that one answer waits for another's transaction in SQLite


def check_free(folder: Path, database: str | None) -> None:
    """Refuse, before anything is written, a database that cannot be reached or holds a study.

    Raises:
        StudyError: it cannot be reached.
        BadValueError: it is in use, or its address is none of PostgreSQL's.
        UnsupportedError: the extra ``study`` is not installed.
    """
    if database is None and not (folder / ANSWERS).exists():
        require("sqlalchemy", extra="study", purpose="a study")
        return
    engine = engine_of(folder, database)
    try:
        with database_errors(folder, database):
            if study_in(engine, tables_of()) is not None:
                raise another_study(folder, database)
    finally:
        engine.dispose()


@contextmanager
def database_errors(folder: Path, database: str | None) -> Iterator[None]:
    """Turn whatever the database raises into one line.

    Raises:
        StudyError: naming the database and the cause.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        cause = squeezed(getattr(error, "orig", None) or error)[:300]
        raise StudyError(
            f"the database {shown(folder, database)} cannot be used: {cause}; answers that were"
            " stored stay stored: start or repair it, and run the same command again"
        ) from error


def shown(folder: Path, database: str | None) -> str:
    """Return where the answers are, without a password."""
    if database is None:
        return str(folder / ANSWERS)
    from sqlalchemy import make_url

    return make_url(database).render_as_string(hide_password=True)


def engine_of(folder: Path, database: str | None) -> Engine:
    """Return the way to the database, which nothing has been asked of yet.

    Raises:
        BadValueError: the address is none of PostgreSQL's.
        UnsupportedError: the extra ``study`` is not installed.
    """
    sql = require("sqlalchemy", extra="study", purpose="a study")
    if database is None:
        engine = sql.create_engine(
            sql.URL.create("sqlite", database=str(folder / ANSWERS)),
            connect_args={"timeout": BUSY},
        )
        sql.event.listen(engine, "connect", _set_up_sqlite)
        return engine
    require("psycopg", extra="study", purpose="PostgreSQL")
    return sql.create_engine(
        _address(database), connect_args={"connect_timeout": WAIT}, pool_pre_ping=True
    )


def _address(database: str) -> Any:
    """Return PostgreSQL's address with the driver that is installed."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(database)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise BadValueError(
            "the database is not a PostgreSQL address; give it as"
            " postgresql://USER@HOST:PORT/NAME, or leave it out for SQLite in the study's folder"
        )
    return url.set(drivername="postgresql+psycopg")


def _set_up_sqlite(connection: Any, _: Any) -> None:
    for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")


def tables_of() -> MetaData:
    """Return the tables of a study: what it is, who agreed, and the answers."""
    import sqlalchemy as sql

    tables = sql.MetaData()
    sql.Table("study", tables, sql.Column("id", sql.Text, primary_key=True))
    sql.Table(
        "raters",
        tables,
        sql.Column("rater", sql.Integer, primary_key=True, autoincrement=False),
        sql.Column("agreed_at", sql.DateTime, nullable=False),
    )
    sql.Table(
        "answers",
        tables,
        sql.Column("rater", sql.ForeignKey("raters.rater"), primary_key=True),
        sql.Column("position", sql.Integer, primary_key=True),
        sql.Column("question", sql.Text, primary_key=True),
        sql.Column("comparison", sql.Integer, nullable=False),
        sql.Column("shown_left", sql.Text, nullable=False),
        sql.Column("choice", sql.Text, nullable=False),
        sql.Column("answered_at", sql.DateTime, nullable=False),
        sql.CheckConstraint(f"choice IN ({', '.join(map(repr, CHOICES))})"),
    )
    return tables


def study_in(engine: Engine, tables: MetaData) -> str | None:
    """Return the study whose answers the database holds; None for an empty one."""
    import sqlalchemy as sql

    if not set(tables.tables) & set(sql.inspect(engine).get_table_names()):
        return None
    with engine.connect() as database:
        return database.execute(sql.select(tables.tables["study"])).scalar()


def another_study(folder: Path, database: str | None) -> BadValueError:
    """Return the error for a database that holds another study."""
    return BadValueError(
        f"the database {shown(folder, database)} holds the answers of another study; give each"
        " study a database, or a folder, to itself"
    )
