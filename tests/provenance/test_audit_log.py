from __future__ import annotations

import json
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import time
from hashlib import sha256

import pytest

from safelatent.errors import BadValueError
from safelatent.provenance.audit_log import BLOCK, AuditLog, _locked
from safelatent.provenance.chain import check_log, links

# Appends until it is stopped, and prints every number once the entry counts as written.
WRITER = """
import sys
from pathlib import Path
from safelatent.provenance.audit_log import AuditLog
log = AuditLog(file=Path(sys.argv[1]))
for n in range(int(sys.argv[3])):
    name = f"{sys.argv[2]}-{n}"
    log.append("image", {"name": name, "filling": "x" * 700}, {"prompt": "a cat"})
    sys.stdout.write(name + chr(10))
    sys.stdout.flush()
"""


def writer(file, name: str, count: int = 10_000, **options) -> subprocess.Popen[str]:
    call = [sys.executable, "-c", WRITER, str(file), name, str(count)]
    # Coverage's data would be cut off by the kill, too.
    options["env"] = {n: v for n, v in os.environ.items() if not n.startswith("COVERAGE")}
    return subprocess.Popen(call, stdout=subprocess.PIPE, text=True, **options)


def names(file) -> list[str]:
    entries = [entry for _, entry, fault in links(file) if fault is None]
    return [entry["record"]["name"] for entry in entries if entry["event"] == "image"]


def test_entries_follow_one_another(tmp_path):
    log = AuditLog(file=tmp_path / "log.jsonl")
    made = [log.append("image", {"name": str(n)}, {"prompt": "a cat"}) for n in range(3)]
    assert [entry["number"] for entry in made] == [1, 2, 3]
    assert [json.loads(line) for line in log.file.read_text().splitlines()] == made
    assert check_log(log.file).entries == 3
    for file in (log.file, tmp_path / "log.jsonl.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "log.jsonl.key"]


def test_a_prompt_is_a_keyed_hash_unless_plain_ones_are_asked_for(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    texts = {"prompt": "a cat", "negative_prompt": None}
    one, two = (log.append("image", {}, texts)["record"] for _ in range(2))
    assert one == two
    assert one["negative_prompt"] is None
    assert one["prompt"] == log.conceal("a cat") != log.conceal("a dog")
    assert sha256(b"a cat").hexdigest() not in log.file.read_text()
    assert "a cat" not in log.file.read_text()
    other = AuditLog(file=tmp_path / "other").append("image", {}, texts)["record"]
    assert other["prompt"]["hmac-sha256"] != one["prompt"]["hmac-sha256"]
    shared = AuditLog(file=tmp_path / "third", key=tmp_path / "log.key")
    assert shared.append("image", {}, texts)["record"] == one
    plain = AuditLog(file=tmp_path / "plain", plain_prompts=True)
    assert plain.append("image", {}, texts)["record"]["prompt"] == {"text": "a cat"}
    assert not (tmp_path / "plain.key").exists()


def test_a_destroyed_key_is_followed_by_another_with_another_name(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    before = log.append("image", {}, {"prompt": "a cat"})["record"]["prompt"]
    (tmp_path / "log.key").unlink()
    after = log.append("image", {}, {"prompt": "a cat"})["record"]["prompt"]
    assert before["key"] != after["key"]
    assert before["hmac-sha256"] != after["hmac-sha256"]
    assert check_log(log.file).holds


def test_what_is_concealed_can_be_compared_by_who_has_the_key(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    concealed = log.conceal("a cat")
    assert log.holds(concealed, "a cat") is True
    assert log.holds(concealed, "a dog") is False
    assert log.holds({"text": "a cat"}, "a cat") is True
    assert log.holds({"text": "a cat"}, "a dog") is False
    assert log.holds(None, None) is True
    assert log.holds(concealed, None) is False
    assert log.holds(None, "a cat") is False
    assert AuditLog(file=tmp_path / "other").holds(concealed, "a cat") is None
    AuditLog(file=tmp_path / "other").conceal("a cat")
    assert AuditLog(file=tmp_path / "other").holds(concealed, "a cat") is None


def test_a_key_that_cannot_be_made_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    log = AuditLog(file=tmp_path / "log", key=tmp_path / "key")

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", fails)
    with pytest.raises(OSError, match="No space left") as caught:
        log.append("image", {}, {"prompt": "a cat"})
    assert caught.value.filename == str(tmp_path / "key")
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert log.file.read_bytes() == b""


def test_a_short_key_is_refused_and_nothing_is_written(tmp_path):
    (tmp_path / "key").write_bytes(b"secret")
    log = AuditLog(file=tmp_path / "log", key=tmp_path / "key")
    with pytest.raises(BadValueError, match="has 6 bytes; a key has at least 16"):
        log.append("image", {}, {"prompt": "a cat"})
    assert log.file.read_bytes() == b""


def test_a_folder_in_place_of_the_log_or_its_key_is_refused(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for log, message in (
        (AuditLog(file=folder), f"the audit log '{folder}' is a folder; name a file, for example"),
        (AuditLog(file=tmp_path / "log", key=folder), f"the key of the audit log '{folder}' is a"),
    ):
        with pytest.raises(BadValueError, match=message):
            log.append("image", {}, {"prompt": "a cat"})
        with pytest.raises(BadValueError, match="is a folder"):
            log.check()
    assert list(folder.iterdir()) == []


def test_names_that_are_numbers_leave_a_log_that_can_be_added_to(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    added = log.append("image", {"share": {9: 0.1, 10: 0.2}})
    assert added["record"] == {"share": {"9": 0.1, "10": 0.2}}
    with pytest.raises(BadValueError, match="two names in a table are the same text"):
        log.append("image", {"share": {1: 0.1, "1": 0.2}})
    assert log.append("image", {})["number"] == check_log(log.file).entries == 2


def test_a_damaged_last_entry_is_never_built_upon(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    for n in range(2):
        log.append("image", {"name": str(n)})
    damaged = log.file.read_bytes().replace(b'"name":"1"', b'"name":"2"')
    log.file.write_bytes(damaged)
    with pytest.raises(BadValueError, match=r"last entry of .* is damaged; see: safelatent audit"):
        log.append("image", {})
    log.file.write_bytes(b"no log\n")
    with pytest.raises(BadValueError, match="is damaged"):
        log.append("image", {})
    assert log.file.read_bytes() == b"no log\n"


def test_a_part_of_an_entry_is_replaced_by_an_entry_that_says_so(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    for n in range(2):
        log.append("image", {"name": str(n)})
    whole = log.file.read_bytes()
    first = whole.index(b"\n") + 1
    for end in (1, first - 2, first + 1, len(whole) - 2):
        log.file.write_bytes(whole[:end])
        assert not check_log(log.file).holds
        log.append("image", {"name": "new"})
        part = whole[first:end] if end > first else whole[:end]
        entries = [entry for _, entry, _ in links(log.file)]
        assert check_log(log.file).holds
        assert entries[-2]["event"] == "incomplete entry removed"
        assert entries[-2]["record"] == {"bytes": len(part), "sha256": sha256(part).hexdigest()}
        assert names(log.file) == (["0", "new"] if end > first else ["new"])


def test_an_entry_that_lacks_its_line_break_alone_is_kept(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    for n in range(2):
        log.append("image", {"name": str(n)})
    log.file.write_bytes(log.file.read_bytes()[:-1])
    log.append("image", {"name": "2"})
    assert names(log.file) == ["0", "1", "2"]
    assert check_log(log.file).holds


def test_an_entry_longer_than_what_is_read_at_once(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    for n in range(3):
        log.append("image", {"name": str(n), "filling": "x" * (2 * BLOCK)})
    assert names(log.file) == ["0", "1", "2"]


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    file = tmp_path / "log"
    writers = [writer(file, name, 25) for name in "abcd"]
    answered = [line for one in writers for line in one.communicate()[0].split()]
    assert len(answered) == 100
    assert sorted(names(file)) == sorted(answered)
    assert check_log(file).holds


def test_kill_9_loses_nothing_that_was_answered(tmp_path):
    """Two writers at a time, killed after some answers; the next two append to the same log."""
    file, rng, answered = tmp_path / "log", random.Random(0), []
    for turn in range(8):
        writers = [writer(file, f"{turn}{name}") for name in "ab"]
        answered.append(writers[0].stdout.readline().strip())
        time.sleep(rng.random() * 0.05)
        for one in writers:
            one.send_signal(signal.SIGKILL)
        for one in writers:
            answered += one.communicate()[0].split()
    logged = names(file)
    assert len(answered) > 16
    assert set(answered) <= set(logged)
    assert len(logged) == len(set(logged)) <= len(answered) + 16
    AuditLog(file=file).append("image", {"name": "last"})
    assert check_log(file).holds


def test_a_full_disk_leaves_the_log_whole_and_answers_nothing(tmp_path):
    """The limit of a file's size cuts a write off in the middle, as a full disk does."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    file = tmp_path / "log"
    full = writer(file, "a", preexec_fn=limited, stderr=subprocess.PIPE)
    answered, error = full.communicate()
    assert full.returncode == 1
    assert f"File too large: '{file}'" in error
    assert names(file) == answered.split()
    assert 2 <= len(names(file)) <= 4
    assert check_log(file).holds
    AuditLog(file=file).append("image", {"name": "next"})
    assert names(file)[-1] == "next"


def test_what_is_not_synced_is_not_answered(tmp_path, monkeypatch):
    log = AuditLog(file=tmp_path / "log")
    log.append("image", {"name": "0"})
    before = log.file.read_bytes()

    def fails(handle):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="Input/output") as caught:
        log.append("image", {"name": "1"})
    assert caught.value.filename == str(log.file)
    assert log.file.read_bytes() == before


def test_an_entry_is_synced_before_it_is_answered(tmp_path, monkeypatch):
    log = AuditLog(file=tmp_path / "log")
    sizes = []
    really = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: sizes.append(os.fstat(handle).st_size) or really(handle)
    )
    log.append("image", {"name": "0"})
    assert sizes[-1] == log.file.stat().st_size > 0


def test_a_log_that_is_moved_away_while_waiting_is_not_written_to(tmp_path, monkeypatch):
    import fcntl

    log = AuditLog(file=tmp_path / "log")
    log.append("image", {"name": "0"})
    really, moved = fcntl.flock, []

    def slow(handle, how):
        if how == fcntl.LOCK_EX and not moved:
            moved.append(log.file.rename(tmp_path / "old"))
        return really(handle, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    log.append("image", {"name": "1"})
    assert names(tmp_path / "old") == ["0"]
    assert names(log.file) == ["1"]


def test_a_process_that_is_forked_while_an_entry_is_written_does_not_keep_the_lock(tmp_path):
    import fcntl

    log = AuditLog(file=tmp_path / "log")
    with _locked(log.file) as handle:
        childs = os.dup(handle)  # what a child has that begins now, for as long as it lives
    try:
        with log.file.open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises, if it is locked
    finally:
        os.close(childs)
