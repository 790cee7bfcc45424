"""Kills the server of a study again and again while a rater answers, at a random line of the code
that takes, stores and commits an answer. Prints what is left, as JSON.

Run by test_server.py in another process: it forks, which a test process with threads should not do,
and which costs less than starting Python fifty times.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import sys
import threading
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlencode

import fastapi.responses
import uvicorn.protocols.http.h11_impl
from sqlalchemy.engine import base

from safelatent.study import Answers, Study, app, read_study, serve, store, writer
from safelatent.study.app import Links

assert fastapi.responses
assert uvicorn.protocols.http.h11_impl  # so that no child imports them anew
WATCHED = {app.__file__, store.__file__, writer.__file__, base.__file__}
MOST = 4000  # lines of them, of some pages
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Rater:
    """Answers page after page, until nobody takes an answer any more."""

    def __init__(self, study: Study, port: int, seed: int) -> None:
        self.rng, self.port = random.Random(seed), port
        self.links, self.number = Links(study), 0
        self.acknowledged: dict[tuple[int, int], tuple[str, str]] = {}
        self.sent = 0
        self.next_rater()

    def next_rater(self) -> None:
        self.number += 1
        self.place = f"/r/{self.links.token(self.number)}"

    def work(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.suppress(OSError, HTTPException):
            while True:
                self.page(connection)
        connection.close()

    def page(self, connection: HTTPConnection) -> None:
        connection.request("GET", self.place)
        text = connection.getresponse().read().decode()
        if "I agree" in text:
            self.post(connection, f"{self.place}/agree", {})
        elif found := re.search(r'name="page" value="(\d+)"', text):
            page, choices = int(found[1]), self.rng.choices(("left", "same", "right"), k=2)
            self.sent += 1
            form = {"page": page, "fidelity": choices[0], "alignment": choices[1]}
            if self.post(connection, self.place, form) == 303:
                self.acknowledged[self.number, page] = (choices[0], choices[1])
        else:
            self.next_rater()

    def post(self, connection: HTTPConnection, place: str, form: dict[str, object]) -> int:
        connection.request("POST", place, urlencode(form), FORM)
        response = connection.getresponse()
        response.read()
        return response.status


def kill_at(line: int) -> None:
    """Kill this process when its threads have run so many of the watched lines."""
    left = line

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        left -= event == "line"
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        return count if frame.f_code.co_filename in WATCHED else None

    threading.settrace(watch)


def serving(study: Study, port: int, line: int) -> int:
    """Start a server that is killed at a line; return its process, once it listens."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        kill_at(line)
        try:
            serve(study, port=port, started=lambda *_: os.write(write, b"!") and None)
        finally:
            os._exit(1)  # it only ends when it is killed
    os.close(write)
    assert os.read(read, 1) == b"!", "the server did not start"
    os.close(read)
    return child


def main() -> None:
    folder, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    study = read_study(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rater, killed = Rater(study, port, rng.randrange(2**32)), 0
    for _ in range(kills):
        child = serving(study, port, rng.randint(1, MOST))
        rater.work()
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    with Answers(study) as answers:
        found = answers.all()
    stored = {
        (one.rater, one.position): {
            other.question: other.choice
            for other in found
            if (other.rater, other.position) == (one.rater, one.position)
        }
        for one in found
    }
    lost = [
        page
        for page, choices in rater.acknowledged.items()
        if tuple(stored.get(page, {}).get(name) for name in ("fidelity", "alignment")) != choices
    ]
    result = {
        "killed": killed,
        "sent": rater.sent,
        "acknowledged": len(rater.acknowledged),
        "stored": len(stored),
        "rows": len(found),
        "lost": len(lost),
        "halves": sum(len(choices) != 2 for choices in stored.values()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
