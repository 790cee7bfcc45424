from __future__ import annotations

import fcntl
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.provenance.audit_log import AuditLog
from safelatent.provenance.chain import DEEPEST, FIRST, check_log, links, next_entry, parse, written

RECORDS = [{"seed": n, "prompt": "ein Kätzchen 🐱\n\u2028", "gate": 0.1 + n} for n in range(6)]


@cache
def whole() -> bytes:
    last, lines = None, []
    for record in RECORDS:
        last = next_entry(last, "image", record)
        lines.append(written(last))
    return b"".join(lines)


def check(data: bytes, **options):
    with TemporaryDirectory() as folder:
        file = Path(folder) / "log.jsonl"
        file.write_bytes(data)
        return check_log(file, **options)


def test_a_chain_holds_from_the_first_entry_to_the_last():
    found = check(whole())
    assert (found.holds, found.entries, found.line, found.fault) == (True, 6, None, None)
    lines = [json.loads(line) for line in whole().splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["record"] for line in lines] == RECORDS
    assert lines[0]["previous"] == FIRST
    assert found.head == lines[-1]["hash"]


def test_an_empty_log_has_no_entry():
    assert check(b"") == check(b"", head=None)
    assert (check(b"").entries, check(b"").head) == (0, FIRST)


@given(place=st.integers(0, len(whole()) - 1), bits=st.integers(1, 255))
def test_any_changed_byte_is_found_in_its_own_line(place, bits):
    data = bytearray(whole())
    data[place] ^= bits
    found = check(bytes(data))
    assert not found.holds
    before = whole()[:place].count(b"\n")
    assert (found.line, found.entries) == (before + 1, before)


@given(st.data())
def test_lines_removed_inserted_moved_or_repeated_are_found_where_it_happened(data):
    lines = whole().splitlines(keepends=True)
    n = data.draw(st.integers(0, len(lines) - 2))
    other = data.draw(st.integers(0, len(lines) - 1).filter(lambda m: m not in (n, n - 1)))
    kind = data.draw(st.sampled_from(["removed", "moved", "repeated"]))
    changed = list(lines)
    if kind == "removed":
        del changed[n]
    elif kind == "moved":
        changed[n] = lines[other]
    else:
        changed.insert(n, lines[other])
    if changed != lines:
        assert check(b"".join(changed)).line == n + 1, kind


@given(st.integers(0, len(whole()) - 1))
def test_a_cut_end_shows_against_a_head_that_was_kept(length):
    head = check(whole()).head
    found = check(whole()[:length], head=head)
    assert not found.holds
    assert found.line == whole()[:length].count(b"\n") + 1
    assert check(whole(), head=head).holds
    assert check(whole(), head=FIRST).holds  # which was printed of it while it was empty


@pytest.mark.parametrize("n", range(5))
def test_an_entry_with_a_new_hash_of_its_new_content_shows_in_the_next_line(n):
    lines = whole().splitlines(keepends=True)
    before = parse(lines[n - 1]) if n else None
    lines[n] = written(next_entry(before, "image", {"seed": 99}))
    found = check(b"".join(lines))
    assert found.line == n + 2
    assert "does not follow the line before it" in str(found.fault)


def test_a_log_that_was_computed_anew_shows_against_the_head():
    forged, last = [], None
    for record in RECORDS:
        last = next_entry(last, "image", record | {"seed": 99})
        forged.append(written(last))
    assert check(b"".join(forged)).holds  # which is why the head is kept elsewhere
    found = check(b"".join(forged), head=check(whole()).head)
    assert "rewritten" in str(found.fault)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"[]\n",
        b"null\n",
        b'{"number":1}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        whole().splitlines(keepends=True)[0].replace(b'"number":1', b'"number":true'),
        whole().splitlines(keepends=True)[0].replace(b"{", b"{ ", 1),
        whole().splitlines(keepends=True)[0].replace(b'"number":1', b'"number":1,"number":1'),
    ],
)
def test_what_is_no_entry_is_none(line):
    assert parse(line) is None


def test_a_missing_file_and_values_that_json_lacks_are_refused(tmp_path):
    with pytest.raises(BadValueError, match="is not a file; give the path of an audit log"):
        check_log(tmp_path / "none")
    with pytest.raises(BadValueError, match="give plain values"):
        next_entry(None, "image", {"ratio": float("nan")})
    with pytest.raises(BadValueError, match="give plain values"):
        next_entry(None, "image", {"folder": Path()})


TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=3)
# No two of them become one: no text is a number's.
NAMES = st.text("abc ", max_size=3) | st.integers(-20, 20) | st.booleans() | st.none()
VALUES = st.recursive(
    TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=12),
    max_leaves=20,
)


@given(TEXTS, st.dictionaries(NAMES, VALUES, max_size=12))
def test_what_is_taken_is_read_again_as_it_was_and_has_its_hash(event, record):
    """Names that are numbers are sorted in another way than their texts, and two halves of a
    character are one when they are read.
    """
    first = next_entry(None, event, record)
    assert parse(written(first)) == first
    assert check(written(first) + written(next_entry(first, "next", {}))).entries == 2


def test_names_that_become_one_and_tables_without_end_are_refused():
    assert next_entry(None, "e", {"a": {9: 1, 10: 2}})["record"] == {"a": {"9": 1, "10": 2}}
    with pytest.raises(BadValueError, match="two names in a table are the same text"):
        next_entry(None, "image", {"a": [{1: 1, "1": 2}]})
    for depth in (DEEPEST, 100_000):
        deep: dict = {}
        for _ in range(depth):
            deep = {"a": deep}
        with pytest.raises(BadValueError, match="give plain values"):
            next_entry(None, "image", deep)


def test_two_halves_of_a_character_are_one():
    halves = "\ud83d\ude00"
    entry = next_entry(None, "image", {"prompt": halves})
    assert entry["record"] == {"prompt": "😀"}
    assert check(written(entry)).holds


def test_links_end_with_the_first_fault(tmp_path):
    file = tmp_path / "log"
    file.write_bytes(whole().replace(b'"seed":2', b'"seed":7'))
    assert [fault is None for _, _, fault in links(file)] == [True, True, False]


def test_who_follows_a_chain_keeps_nobody_from_appending(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    for n in range(3):
        log.append("image", {"n": n})
    following = links(log.file)
    seen = [next(following)]
    with log.file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises, if it is locked
    log.append("image", {"n": 3})
    seen += following
    assert [entry["record"]["n"] for _, entry, _ in seen] == [0, 1, 2]  # what was there at first
    assert check_log(log.file).entries == 4
