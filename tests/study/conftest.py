"""Both databases for every test that takes one: SQLite, and PostgreSQL for real."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.study.postgres import cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with cluster() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request) -> str | None:
    """The address of an empty database; None for the folder's own."""
    if request.param == "sqlite":
        return None
    import psycopg

    address = request.getfixturevalue("postgres")
    with psycopg.connect(address) as connection:
        connection.execute("DROP TABLE IF EXISTS answers, raters, study")
    return address
