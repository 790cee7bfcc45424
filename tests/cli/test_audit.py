from __future__ import annotations

from safelatent.cli import main


def test_the_group_lists_its_commands(capsys):
    assert main(["audit", "--help"]) == 0
    said = capsys.readouterr().out
    assert "bias" in said
    assert "data" in said
    assert "log" in said


def test_an_unknown_audit_is_one_line(capsys):
    assert main(["audit", "biass"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
