"""Many raters at once: ``python -m benchmarks.study`` prints how long an answer takes, and how many
are lost, and with ``--write`` puts that into ``docs/study.md``. Exits with 1 if one was lost.

A server of its own process, and raters that answer all their pages, fetch both pictures of each,
and think before each answer. The time of an answer is from sending it to having the next page: the
answer is on the disk by then.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from PIL import Image

from benchmarks.page import DOCS, Measured
from benchmarks.timing import machine
from safelatent.storage import write_whole
from safelatent.study import Answers, ImagePair, Study, StudySettings
from safelatent.study.folder import write_study
from safelatent.study.store import bind
from safelatent.text import counted

PART = Measured(page=DOCS / "study.md", name="raters", command="python -m benchmarks.study --write")
LIMIT = 0.2  # seconds that the median answer may take
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(kw_only=True)
class Rater:
    """One rater: the link, and what was sent and measured.

    Attributes:
        link: begins with the server's address.
        think: mean seconds before an answer, uniform from half to one and a half of it.
        answers: by page, as they were acknowledged.
        seconds: that each took.
    """

    link: str
    think: float
    seed: int
    answers: dict[int, tuple[str, str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def play(self) -> None:
        """Answer every page."""
        place, rng = urlsplit(self.link), random.Random(self.seed)  # noqa: S311
        connection = HTTPConnection(place.hostname or "", place.port, timeout=300)

        def get(path: str) -> bytes:
            connection.request("GET", path)
            return connection.getresponse().read()

        def post(path: str, **form: object) -> None:
            connection.request("POST", path, urlencode(form), FORM)
            connection.getresponse().read()

        time.sleep(rng.uniform(0, self.think))  # nobody begins at the same moment
        post(f"{place.path}/agree")
        text = get(place.path).decode()
        while found := re.search(r'name="page" value="(\d+)"', text):
            for picture in re.findall(r'src="(/r/[^"]+\.png)"', text):
                get(picture)
            time.sleep(rng.uniform(self.think / 2, 1.5 * self.think))
            page, choices = int(found[1]), rng.choices(("left", "same", "right"), k=2)
            start = time.perf_counter()
            post(place.path, page=page, fidelity=choices[0], alignment=choices[1])
            text = get(place.path).decode()
            self.seconds.append(time.perf_counter() - start)
            self.answers[page] = (choices[0], choices[1])
        connection.close()


def made(folder: Path, pairs: int, database: str | None) -> Study:
    """Make a study of plain pictures, 512 x 512, as Stable Diffusion 1.4 draws them in size."""
    noise = os.urandom(3 * 64 * 64)
    encoded = io.BytesIO()
    Image.frombytes("RGB", (64, 64), noise).resize((512, 512)).save(encoded, "PNG")
    names = [f"{n:032x}" for n in range(2 * pairs)]
    for name in names:
        write_whole(folder / "images" / f"{name}.png", encoded.getvalue())
    study = Study(
        folder=folder,
        settings=StudySettings(methods=("off", "max"), pairs=pairs),
        comparisons=tuple(
            ImagePair(
                prompt=f"prompt {n}",
                prompt_id=f"p-{n}",
                categories=(),
                image=0,
                methods=("off", "max"),
                pictures=(names[2 * n], names[2 * n + 1]),
                blurred=False,
            )
            for n in range(pairs)
        ),
        source={},
        left_out={},
        key=os.urandom(32).hex(),
        database=database,
    )
    write_study(study)
    bind(study)
    return study


@contextmanager
def served(study: Study, raters: int) -> Iterator[list[str]]:
    """Serve it; gives the links."""
    call = [sys.executable, "-m", "safelatent", "study", "serve", str(study.folder)]
    process = subprocess.Popen(  # noqa: S603
        [*call, "--port", "0", "--raters", str(raters)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert line.startswith("serving"), line
        with (study.folder / "links.csv").open() as stream:
            yield [row["link"] for row in csv.DictReader(stream)]
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def measure(study: Study, raters: int, think: float) -> tuple[list[float], int, int]:
    """Return the seconds of every answer, how many were acknowledged, and how many of them are not
    stored as they were given.
    """
    with served(study, raters) as links:
        players = [Rater(link=link, think=think, seed=n) for n, link in enumerate(links)]
        threads = [threading.Thread(target=player.play) for player in players]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with Answers(study) as answers:
        stored = {(one.rater, one.position, one.question): one.choice for one in answers.all()}
    given = {
        (number, page, question): choice
        for number, player in enumerate(players, 1)
        for page, choices in player.answers.items()
        for question, choice in zip(("fidelity", "alignment"), choices, strict=True)
    }
    lost = sum(stored.get(which) != choice for which, choice in given.items())
    return [second for player in players for second in player.seconds], len(given) // 2, lost


def row(think: float, seconds: list[float], count: int, lost: int) -> str:
    """Return a line of the page's table."""
    middle, late = statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]
    met = "yes" if middle < LIMIT and not lost else "no"
    times = " | ".join(f"{1000 * value:.0f} ms" for value in (middle, late, max(seconds)))
    return f"| {think:g} s | {count} | {lost} | {times} | {met} |"


def head(raters: int, pairs: int, database: str | None) -> list[str]:
    """Return what the page says before the rows: the machine as it is now, and the columns."""
    here = machine()
    shared = f"{here['processor']}, {counted(here['cores'], 'core')}, load {here['load before']}"
    where = "PostgreSQL" if database else "SQLite"
    return [
        f"{raters} raters, {pairs} pairs each, answers in {where}; {shared} before the first.",
        "",
        (
            "| thinking | answers | lost | median | 95 % within | longest |"
            f" below {LIMIT:g} s, none lost |"
        ),
        "|---|---|---|---|---|---|---|",
    ]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__)
    add = parser.add_argument
    add("--raters", type=int, default=50, help="that answer at the same time")
    add("--pairs", type=int, default=30, help="pages that each of them answers")
    add("--think", type=float, nargs="+", default=[5.0, 2.0, 0.0], help="seconds before an answer")
    add("--database", help="address of an empty PostgreSQL database (default: SQLite)")
    add("--write", action="store_true", help="put the table into docs/study.md")
    options = parser.parse_args()
    lines, lost = head(options.raters, options.pairs, options.database), 0
    print("\n".join(lines))
    for think in options.think[: 1 if options.database else None]:  # a database has one study
        with tempfile.TemporaryDirectory() as folder:
            study = made(Path(folder), options.pairs, options.database)
            found = measure(study, options.raters, think)
        lines.append(row(think, *found))
        print(lines[-1])
        lost += found[2]
    if options.write:
        PART.write(lines)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
