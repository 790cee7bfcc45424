"""``safelatent attack``: bad input is one line, the table and the files are the attack's."""

from __future__ import annotations

import json

import pytest

from safelatent.cli import main
from tests.attack.dummy_target import PROMPTS
from tests.attack.test_execute import prepared  # noqa: F401  # a fixture
from tests.attack.test_numbers import made

SHORT = ["--queries", "12", "--limit", "2", "--batch-size", "4"]


def test_the_command_attacks_and_reports(prepared, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr("safelatent.attack.execute.prompt_set", lambda *_: PROMPTS)
    monkeypatch.setattr(
        "tests.attack.test_execute.FACTS", made({}).facts | {"judge_hash": "scripted"}
    )
    out = str(tmp_path / "a")
    assert main(["attack", *SHORT, "--out", out]) == 0
    said = capsys.readouterr()
    assert len([line for line in said.out.splitlines() if line.startswith("exact")]) == 4
    assert "adaptive: the goal" in said.err
    told = json.loads((tmp_path / "a/attack-report.json").read_text(encoding="utf-8"))
    assert told["finished"]
    assert (tmp_path / "a/attack-report.html").is_file()
    assert main(["attack", *SHORT, "--out", out]) == 0  # resumed: nothing to do
    assert prepared[1].draw.drawn == []
    assert main(["attack", "--queries", "13", *SHORT[2:], "--out", out]) == 2
    assert "other settings (queries differ)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--queries", "0"], "queries is 0; it must be a whole number from 1"),
        (["--guidance", "exakt"], "unknown guidance 'exakt'"),
        (["--judge", "embedded-clip"], "so no attack could succeed against the check"),
        (["--model", "owner/name"], "needs a calibration"),
        (["no-set"], "unknown prompts 'no-set'"),
        (["--synonyms", "absent.txt"], "absent.txt cannot be read"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, options, line):
    assert main(["attack", *options, "--out", str(tmp_path / "a")]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert len(err.strip().splitlines()) == 1
