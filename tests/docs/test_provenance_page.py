"""docs/provenance.md says what the code does: its commands and code run, its table is measured."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest

from safelatent import guard
from safelatent.cli import main
from safelatent.cli.verify import CODES
from safelatent.policy import Policy
from safelatent.provenance import check_log, read_manifest
from safelatent.provenance.certificate import TEST_NAME
from safelatent.provenance.receipt import SCHEMA, schema
from tests import tiny
from tests.provenance.authority import authority, time_stamps

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "provenance.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("safelatent ")
]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the time stamps are openssl's")
def test_its_commands_run_in_their_order(tmp_path, monkeypatch, capsys):
    tiny.pipeline().save_pretrained(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    certificate, key = authority().files(tmp_path)
    certificate.rename("chain.pem")
    key.rename("signer.key")
    with time_stamps(tmp_path, authority()) as address:
        for command in COMMANDS:
            small = ["--model", "tiny", "--safety", "max", "--steps", "2"]
            given = [address if word.startswith("http://") else word for word in command]
            code = main([*given, *(small if command[0] == "generate" else [])])
            assert code == 0, (command, *capsys.readouterr())
    assert len(COMMANDS) == 4
    (signed,) = (tmp_path / "out").glob("*.png")
    assert read_manifest(signed.read_bytes(), authority().pem).trusted
    assert read_manifest(signed.read_bytes(), authority().pem).time_trusted


@pytest.mark.slow
def test_its_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict = {}
    exec(compile(snippet, "docs/provenance.md", "exec"), names)
    assert capsys.readouterr().out == "holds\n"
    assert check_log(tmp_path / "audit.jsonl").entries == 2
    (kept,) = read_manifest(names["again"].png).inputs
    assert (kept.relation, kept.signed, kept.faults) == ("inputTo", True, ())


@pytest.mark.slow
def test_its_table_is_what_is_measured():
    page = runpy.run_path(str(DOCS / "survival.py"))["page"]()
    assert page == PAGE, "run python docs/survival.py"


def test_its_names_are_the_codes():
    rows = dict(re.findall(r"^\| (\d) \| (\w[\w ]+)", PAGE, flags=re.MULTILINE))
    assert {verdict: str(code) for verdict, code in CODES.items()} == {
        verdict: code for code, verdict in rows.items() if code != "2"
    }
    assert f"`{SCHEMA}`" in PAGE
    assert f"`{TEST_NAME}`" in PAGE
    absent = re.search("What did not happen is absent: (.*?) more than", " ".join(PAGE.split()))
    named = re.findall(r"`(\w+)`", absent[1])
    safe = guard(tiny.pipeline(), policy=Policy(least="max"))
    [receipt] = safe("a cat", num_inference_steps=4).receipts
    facts = [name for name in receipt.facts if name != "seed"]  # which every drawn image has
    assert named == [*facts, "retries"]
    assert set(named) <= schema()["properties"].keys()


def test_the_table_is_of_the_pictures_that_are_stored():
    measured = runpy.run_path(str(DOCS / "survival.py"))
    assert len(measured["pictures"]()) == 24
    assert f"{len(measured['pictures']())} pictures, each changed" in PAGE
    rows = [line.split("|")[1].strip() for line in PAGE.splitlines() if " of 24 |" in line]
    assert rows == list(measured["CHANGES"])
