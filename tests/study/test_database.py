"""Which database: an address is checked, and whatever it raises is one line without a password."""

from __future__ import annotations

import socket
import sys

import pytest

from safelatent.errors import BadValueError, UnsupportedError
from safelatent.study import Answers, StudyError
from safelatent.study.database import check_free, engine_of, shown
from tests.study.made_studies import answer, made_study, prefer


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.parametrize(
    "address", ["", "nothing", "mysql://u@h/d", "sqlite:///x.db", "postgresql+asyncpg://h/d", "://"]
)
def test_only_an_address_of_postgresql_is_taken(tmp_path, address):
    with pytest.raises(BadValueError, match=r"not a PostgreSQL address; give it as postgresql:"):
        check_free(tmp_path, address)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_usual_form_of_the_address_is_taken(tmp_path, scheme):
    url = engine_of(tmp_path, f"{scheme}://user@host:5432/name").url
    assert (url.drivername, url.host) == ("postgresql+psycopg", "host")


def test_an_unreachable_database_is_one_line_and_nothing_is_made(tmp_path):
    address = f"postgresql://user:hidden@127.0.0.1:{free_port()}/answers"
    with pytest.raises(StudyError, match=r"cannot be used: .*refused.*start or repair it") as found:
        made_study(tmp_path, 2, database=address)
    assert "\n" not in str(found.value)
    assert "hidden" not in str(found.value)
    assert not (tmp_path / "study").exists()


def test_a_database_of_another_study_is_refused(tmp_path, database):
    """By ``create`` if it is given, and by whoever opens it in the place of the study's own."""
    if database is None:
        one, other = made_study(tmp_path / "a", 2), made_study(tmp_path / "b", 2)
        file = other.folder / "answers.sqlite"
        file.write_bytes((one.folder / "answers.sqlite").read_bytes())
        (tmp_path / "a/study/study.json").unlink()
        with pytest.raises(BadValueError, match="holds the answers of another study; give each"):
            made_study(tmp_path / "a", 2)
    else:
        one = made_study(tmp_path / "a", 2, database=database)
        answer(one, 1, prefer("max"))
        with pytest.raises(BadValueError, match="holds the answers of another study; give each"):
            made_study(tmp_path / "b", 2, database=database)
        assert not (tmp_path / "b/study").exists()
        other = made_study(tmp_path / "c", 2)
        object.__setattr__(other, "database", database)
    with pytest.raises(BadValueError, match="holds the answers of another study"):
        Answers(other)
    if database is not None:
        with Answers(one) as answers:
            assert len(answers.all()) == 4, "nothing is lost"


def test_a_file_that_is_no_database_is_one_line(tmp_path):
    study = made_study(tmp_path, 2)
    for file in study.folder.glob("answers.sqlite*"):
        file.unlink()
    (study.folder / "answers.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(StudyError, match=r"answers.sqlite cannot be used: file is not a database"):
        Answers(study)


def test_a_password_is_never_shown(tmp_path):
    assert shown(tmp_path, "postgresql://a:hidden@h/d") == "postgresql://a:***@h/d"
    assert shown(tmp_path, None) == str(tmp_path / "answers.sqlite")


@pytest.mark.parametrize("package", ["sqlalchemy", "psycopg"])
def test_without_the_extra_the_pip_line_is_named(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnsupportedError, match=rf"needs {package}; run pip install \"safelatent\["):
        engine_of(tmp_path, "postgresql://u@h/d")
