from __future__ import annotations

import json

import pytest

from safelatent.cli import main
from safelatent.provenance import AuditLog, check_log


@pytest.fixture
def log(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    for n in range(3):
        log.append("image", {"seed": n})
    return log.file


@pytest.fixture
def run(capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["audit", "log", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_log_that_holds(run, log):
    head = check_log(log).head
    assert run(str(log)) == (0, f"{log}: every link holds, 3 lines; head {head}\n", "")
    assert run(str(log), "--head", head)[0] == 0


def test_the_first_broken_link_is_named(run, log):
    log.write_bytes(log.read_bytes().replace(b'"seed":1', b'"seed":7'))
    code, out, _ = run(str(log))
    assert code == 1
    assert out.startswith(f"{log}, line 2: its content does not have the hash that it states")
    assert len(out.splitlines()) == 1


def test_a_cut_end_shows_against_the_head(run, log):
    head = check_log(log).head
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    assert run(str(log))[0] == 0
    code, out, _ = run(str(log), "--head", head)
    assert code == 1
    assert f"line 3: no entry has the hash {head}" in out


@pytest.mark.parametrize("head", ["", "abc", "G" * 64])
def test_a_head_that_is_none_is_no_broken_log(run, log, head):
    code, out, err = run(str(log), "--head", head)
    assert (code, out) == (2, "")
    assert "give the 64 hexadecimal digits that an earlier check printed" in err


def test_json_is_one_object(run, log):
    code, out, _ = run(str(log), "--json")
    assert (code, json.loads(out)["holds"], json.loads(out)["entries"]) == (0, True, 3)
    log.write_bytes(log.read_bytes()[:-1])
    code, out, _ = run(str(log), "--json")
    assert (code, json.loads(out)["holds"], json.loads(out)["line"]) == (1, False, 3)


def test_an_empty_log_and_a_missing_one(run, tmp_path):
    (tmp_path / "empty").touch()
    code, out, err = run(str(tmp_path / "empty"))
    assert (code, err) == (3, "")
    said = "has no entry: nothing was logged, or all of it was removed"
    assert out == f"{tmp_path / 'empty'} {said}\n"
    assert json.loads(run(str(tmp_path / "empty"), "--json")[1])["entries"] == 0
    code, out, err = run(str(tmp_path / "none"))
    assert (code, out) == (2, "")
    assert err.startswith("safelatent: ")
    assert "is not a file; give the path of an audit log" in err


def test_the_group_lists_its_commands(capsys):
    assert main(["audit", "--help"]) == 0
    said = capsys.readouterr().out
    assert "bias" in said
    assert "data" in said
    assert "log" in said


def test_an_unknown_audit_is_one_line(capsys):
    assert main(["audit", "biass"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
