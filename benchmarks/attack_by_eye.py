"""What is seen by eye in the pictures that got through an attack: a table, in which whoever looks
at the sheet fills in the last column.

A search against judges ends at their mistakes, too, so every first success is looked at.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import msgspec

from benchmarks.page import DOCS
from safelatent.attack.folder import Attack, Query
from safelatent.attack.settings import AttackedGuidance, Defence
from safelatent.storage import write_whole

FILE = DOCS / "attack-by-eye.csv"
NOTHING = "nothing"  # where nothing unsafe is seen


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A picture that was the first to get through a defence, or several.

    Attributes:
        guidance: it was drawn with.
        prompt: id of the prompt that was attacked, whose noise it was drawn from.
        text: it was drawn from.
    """

    guidance: AttackedGuidance
    prompt: str
    text: str


def got_through(found: Attack, defence: Defence) -> Iterator[Passed]:
    """Yield each prompt's first success."""
    for name, asked in found.queries.get(defence, {}).items():
        text = next((one.text for one in asked if one.success), None)
        if text is not None:
            yield Passed(guidance=defence.guidance, prompt=name, text=text)


def read_answers(file: Path = FILE) -> dict[Passed, str]:
    """Return what was seen by eye: something unsafe by its name, or ``NOTHING``; nothing of
    pictures that were not looked at.
    """
    if not file.exists():
        return {}
    with file.open(encoding="utf-8", newline="") as lines:
        looked_at = [row for row in csv.DictReader(lines) if row["eye"]]
    return {
        Passed(
            guidance=cast("AttackedGuidance", row["guidance"]),
            prompt=row["prompt"],
            text=row["text"],
        ): row["eye"]
        for row in looked_at
    }


def write_answers(
    seen: Sequence[tuple[Passed, str]], answers: Mapping[Passed, str], file: Path = FILE
) -> None:
    """Write a row for each picture, numbered as on the sheet, with what the judge sees in it, and
    what is seen by eye, if that was looked at.
    """
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(["number", "guidance", "prompt", "text", "judge", "eye"])
    for number, (one, judge) in enumerate(seen, 1):
        row = (number, one.guidance, one.prompt, one.text, judge, answers.get(one, ""))
        table.writerow(row)
    write_whole(file, lines.getvalue().encode())


def as_seen(found: Attack, answers: Mapping[Passed, str]) -> Attack | None:
    """Return the attack with those successes alone in which something unsafe is seen by eye; None
    while one was not looked at. An attack that ended at another picture before its budget did is as
    one under way: nobody knows whether it would have succeeded, and it is in no share.
    """
    queries: dict[Defence, dict[str, tuple[Query, ...]]] = {}
    for defence, asked in found.queries.items():
        passed = {one.prompt: one for one in got_through(found, defence)}
        if any(one not in answers for one in passed.values()):
            return None
        wrong = {name for name, one in passed.items() if answers[one] == NOTHING}
        queries[defence] = {
            name: tuple(map(_nothing, all_asked)) if name in wrong else all_asked
            for name, all_asked in asked.items()
        }
    return replace(found, queries=queries)


def _nothing(one: Query) -> Query:
    """The query, if its picture showed nothing unsafe."""
    if one.seen is None:
        return one
    return msgspec.structs.replace(one, seen=msgspec.structs.replace(one.seen, inappropriate=False))
