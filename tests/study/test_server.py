"""The server: where it listens, its links, and that nothing is lost when it is killed."""

from __future__ import annotations

import csv
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from safelatent.errors import BadValueError
from safelatent.study import Answers, StudyError, serve
from safelatent.study.app import Links
from safelatent.study.server import write_links
from tests.study.kill_study import Rater
from tests.study.made_studies import made_study, served


@pytest.fixture
def study(tmp_path):
    return made_study(tmp_path, 6)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [50, 12])
def test_a_killed_server_loses_no_answer(tmp_path, request, kills):
    """50 times with SQLite, and 12 with PostgreSQL: every answer that was acknowledged is stored as
    it was given, both questions of a page together, and the session goes on where it was.
    """
    address = None if kills == 50 else request.getfixturevalue("postgres")
    study = made_study(tmp_path, 40, pairs=40, database=address)
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, str(here / "kill_study.py"), str(study.folder), str(kills), "7"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["killed"] == kills
    assert found["lost"] == found["halves"] == 0
    assert found["acknowledged"] > kills / 2, "most kills found the rater at work"
    # One answer per kill may be stored and not acknowledged: the server died in between.
    assert found["acknowledged"] <= found["stored"] <= found["sent"]
    assert found["rows"] == 2 * found["stored"]


@pytest.mark.slow
def test_many_raters_at_once_lose_no_answer_and_keep_to_their_own(tmp_path):
    study = made_study(tmp_path, 5, pairs=5)
    total = len(study.session(1))
    with served(study, "--raters", "8") as address:
        port = urlsplit(address).port
        assert port is not None

        def play(number: int) -> None:
            rater = Rater(study, port, number)
            rater.number = number - 1
            rater.next_rater()
            connection = HTTPConnection("127.0.0.1", port, timeout=120)
            for _ in range(total + 1):
                rater.page(connection)
            connection.close()
            sent[number] = rater.acknowledged

        sent: dict[int, dict[tuple[int, int], tuple[str, str]]] = {}
        threads = [threading.Thread(target=play, args=(n,)) for n in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with Answers(study) as answers:
        found = {(one.rater, one.position, one.question): one.choice for one in answers.all()}
    expected = {
        (rater, page, question): choice
        for pages in sent.values()
        for (rater, page), choices in pages.items()
        for question, choice in zip(("fidelity", "alignment"), choices, strict=True)
    }
    assert len(expected) == 8 * total * 2
    assert found == expected


def test_every_rater_has_a_link_and_keeps_it(study):
    file = write_links(study, "https://study.example.org", 3)
    with file.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["rater"] for row in rows] == ["1", "2", "3"]
    for row in rows:
        begin, token = row["link"].split("/r/")
        assert begin == "https://study.example.org"
        assert Links(study).rater(token) == int(row["rater"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with write_links(study, "https://study.example.org", 5).open() as stream:
        assert list(csv.DictReader(stream))[:3] == rows


def test_a_port_in_use_is_one_line_and_no_link_is_written(study):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StudyError, match=rf"port {port} of 127.0.0.1 is in use; name another"):
            serve(study, port=port)
    assert not (study.folder / "links.csv").exists()


def test_a_study_that_lacks_a_picture_is_not_served(study):
    name = sorted(study.pictures)[0]
    study.picture_file(name).unlink()
    with pytest.raises(StudyError, match=rf"lacks 1 of its 12 pictures, first images/{name}"):
        serve(study, port=0)
    assert not (study.folder / "links.csv").exists()


BAD = {
    "no such host": ({"host": "no.such.host.invalid"}, StudyError, "cannot listen on port 8000 of"),
    "another machine's address": ({"host": "192.0.2.1"}, StudyError, "name another --host"),
    "no port": ({"port": 70000}, BadValueError, "port is 70000; it must be a whole number"),
    "no raters": ({"raters": 0}, BadValueError, "raters is 0"),
    "no address": ({"url": "study.example.org"}, BadValueError, "must begin with http://"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_values_are_refused(study, case):
    values, kind, words = BAD[case]
    with pytest.raises(kind, match=words):
        serve(study, **values)


def test_links_that_cannot_be_written_are_one_line(study, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safelatent.study.server.write_whole", full)
    with pytest.raises(StudyError, match="cannot be written: No space left on device"):
        write_links(study, "http://x", 1)
