"""The chain of an audit log: one JSON object per line, each with the hash of the one before it.

An entry has one way to be written (ASCII, keys sorted, no spaces), so that any changed byte is
found: in its own line, and nowhere before it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from safelatent.errors import BadValueError
from safelatent.hashing import digest
from safelatent.text import is_deeper

FIRST = "0" * 64  # what the first entry names as the hash of the one before it
DEEPEST = 100  # tables in tables; so many are read again however deep the caller is
FIELDS = {"number", "time", "event", "record", "previous", "hash"}


@dataclass(frozen=True, kw_only=True)
class LogCheck:
    """What the chain of a log shows.

    Attributes:
        entries: how many hold, from the first one on.
        head: hash of the last of them; ``FIRST`` if there is none.
        line: the first line that does not hold, counted from 1; None if all do.
        fault: what is wrong with it.
    """

    entries: int
    head: str
    line: int | None = None
    fault: str | None = None

    @property
    def holds(self) -> bool:
        """Whether every entry follows from the one before it."""
        return self.fault is None


def check_log(file: Path, head: str | None = None) -> LogCheck:
    """Follow the chain from the first entry to the last, or to the first broken link.

    Args:
        head: hash of an entry that must be there, kept from an earlier check.

    Raises:
        BadValueError: there is no such file.
        OSError: it cannot be read.
    """
    count, last, seen = 0, FIRST, head in (None, FIRST)  # which an empty log had
    for number, entry, fault in links(file):
        if fault is not None:
            return LogCheck(entries=count, head=last, line=number, fault=fault)
        count, last = count + 1, entry["hash"]
        seen = seen or last == head
    if not seen:
        fault = f"no entry has the hash {head}: the log was rewritten, or its end was cut off"
        return LogCheck(entries=count, head=last, line=count + 1, fault=fault)
    return LogCheck(entries=count, head=last)


def links(file: Path) -> Iterator[tuple[int, dict[str, Any], str | None]]:
    """Yield (line, entry, fault), up to and including the first fault.

    Raises:
        BadValueError: there is no such file.
        OSError: it cannot be read.
    """
    if not file.is_file():
        raise BadValueError(f"{str(file)!r} is not a file; give the path of an audit log")
    last = None
    with file.open("rb") as stream:
        for number, line in enumerate(_lines(stream), start=1):
            entry = parse(line)
            fault = _unread(line) if entry is None else fault_of(entry, last)
            yield number, entry or {}, fault
            if fault is not None:
                return
            last = entry


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines that are there now.

    The lock is held for that moment alone, in which no entry is half-written: to follow a long
    chain takes minutes, and what is appended meanwhile must not wait for it.
    """
    fcntl.flock(stream, fcntl.LOCK_SH)
    left = os.fstat(stream.fileno()).st_size
    fcntl.flock(stream, fcntl.LOCK_UN)
    while left > 0 and (line := stream.readline(left)):
        left -= len(line)
        yield line


def next_entry(last: Mapping[str, Any] | None, event: str, record: Mapping[str, Any]) -> Any:
    """Return the entry that follows ``last`` (None: the first one), with its hash.

    Args:
        event: what happened.
        record: plain values about it; names that are no text become text, as JSON has them.

    Raises:
        BadValueError: a value is not one that JSON has, two names become one, or tables are nested
            too deeply to be read again.
    """
    # The hash is of what will be read: what JSON changes after it would break the chain.
    try:
        text = json.dumps({"event": event, "record": record}, allow_nan=False)
        said = json.loads(text, object_pairs_hook=_table)
        if is_deeper(said, DEEPEST):
            raise ValueError(f"tables are nested more than {DEEPEST} deep")
    except (TypeError, ValueError, RecursionError) as error:
        fault = f"the record of {event!r} cannot be logged: {error}; give plain values"
        raise BadValueError(fault) from None
    entry = {
        "number": 1 if last is None else last["number"] + 1,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **said,
        "previous": FIRST if last is None else last["hash"],
    }
    return entry | {"hash": _hash(entry)}


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("two names in a table are the same text")
    return table


def written(entry: Mapping[str, Any]) -> bytes:
    """Return the entry as its line.

    Raises:
        ValueError: a number is not one that JSON has.
    """
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii") + b"\n"


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the entry that is written as exactly these bytes; None if there is none."""
    try:
        entry = json.loads(line)
        exact = isinstance(entry, dict) and entry.keys() == FIELDS and written(entry) == line
    except (ValueError, RecursionError):
        return None
    return entry if exact and type(entry["number"]) is int else None


def fault_of(entry: Mapping[str, Any], last: Mapping[str, Any] | None) -> str | None:
    """Return why ``entry`` cannot follow ``last`` (None: be the first); None if it can."""
    if entry["hash"] != _hash(entry):
        return "its content does not have the hash that it states: it was changed"
    previous, number = (FIRST, 1) if last is None else (last["hash"], last["number"] + 1)
    if entry["previous"] != previous or entry["number"] != number:
        return "it does not follow the line before it: a line was removed, inserted or moved"
    return None


def _unread(line: bytes) -> str:
    cut = "it is incomplete: its write was interrupted, or its end was cut off"
    return "it is not an entry of an audit log" if line.endswith(b"\n") else cut


def _hash(entry: Mapping[str, Any]) -> str:
    return digest({name: value for name, value in entry.items() if name != "hash"})
