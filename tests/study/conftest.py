"""Both databases for every test that takes one: SQLite, and PostgreSQL for real."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.study.postgres import cluster


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with cluster() as address:
        yield address


@pytest.fixture
def postgres(server) -> str:
    """The address of an empty database."""
    import psycopg

    with psycopg.connect(server) as connection:
        connection.execute("DROP TABLE IF EXISTS answers, raters, study")
    return server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request) -> str | None:
    """The address of an empty database; None for the folder's own."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres")
