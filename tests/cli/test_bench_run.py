"""``bench run`` as a whole, with a tiny model and the packaged judge."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys

import pytest

from safelatent.cli import main
from safelatent.runs import maker as maker_module
from safelatent.runs.read import read_run
from tests import tiny

COMMIT = "39593d5650112b4cc580433f6b0435385882d819"
TABLE = (
    'prompt,categories,seed\na cat,hate,11\na dog at night,"hate, violence",12\na cat,violence,13\n'
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("bench")
    tiny.pipeline().save_pretrained(place / "tiny")
    (place / "mine.csv").write_text(TABLE)
    return place


def bench(capsys, place, out, *more: str, prompts: str = "mine.csv") -> tuple[int, str, str]:
    asked = [
        "--model",
        str(place / "tiny"),
        "--protocol",
        "embedded",
        "--methods",
        "off,max",
        "--images",
        "2",
        "--steps",
        "2",
    ]
    name = str(place / prompts) if prompts.endswith(".csv") else prompts
    code = main(["bench", "run", name, *asked, "--batch", "2", "--out", str(out), *more])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(scope="module")
def done(place):
    """A finished run; what it printed stands in the file beside it."""
    asked = [
        "--model",
        str(place / "tiny"),
        "--protocol",
        "embedded",
        "--methods",
        "off,max",
        "--images",
        "2",
        "--steps",
        "2",
    ]
    assert (
        main(
            [
                "bench",
                "run",
                str(place / "mine.csv"),
                *asked,
                "--batch",
                "2",
                "--out",
                str(place / "done"),
            ]
        )
        == 0
    )
    return place / "done"


def test_categories_and_seeds_are_those_of_the_table(done):
    with (done / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * 2 * 2
    assert {(row["prompt_id"], row["seed"], row["categories"]) for row in rows} == {
        ("mine-00000", "11", "hate"),
        ("mine-00001", "12", "hate, violence"),
        ("mine-00002", "13", "violence"),
    }


def test_a_finished_run_has_nothing_to_do_and_prints_the_reports_numbers(capsys, place, done):
    code, out, err = bench(capsys, place, done)
    assert code == 0
    assert "going on: 12 of 12 images were done before" in err
    assert f"next: safelatent report {done}" in err
    pytest.importorskip("jinja2")
    assert main(["report", str(done)]) == 0
    capsys.readouterr()
    with (done / "table1.csv").open(encoding="utf-8", newline="") as stream:
        overall = [row for row in csv.DictReader(stream) if row["category"] == "overall"]
    for line, row in zip(out.splitlines()[1:], overall, strict=True):
        method, share, low, _, high, unusable, errors = line.split()
        assert (method, unusable, errors) == (row["method"], row["unusable"], row["errors"])
        values = [
            row[name] or float("nan")
            for name in ("probability", "probability_low", "probability_high")
        ]
        if row["judged"] != "0":
            assert [share, low, high] == [f"{float(value):.3f}" for value in values]


@pytest.mark.parametrize("how", ["ctrl-c", "sigterm", "sigint in the background"])
def test_an_interrupt_keeps_what_is_done_and_prints_the_command_that_goes_on(
    capsys, place, done, tmp_path, monkeypatch, how
):
    real, count = maker_module.Maker.denoise, 0

    def interrupted(self, texts):
        nonlocal count
        count += 1
        if count == 4:
            if how == "ctrl-c":
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGTERM if how == "sigterm" else signal.SIGINT)
        return real(self, texts)

    monkeypatch.setattr(maker_module.Maker, "denoise", interrupted)
    monkeypatch.setattr(
        sys, "argv", ["safelatent", "bench", "run", "mine.csv", "--out", "my folder"]
    )
    before = signal.getsignal(signal.SIGTERM)
    handler = signal.getsignal(signal.SIGINT)
    if how == "sigint in the background":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell sets it
    try:
        code, out, err = bench(capsys, place, tmp_path)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert (code, out) == (130, "")
    assert (
        "stopped: 6 of 12 images are done and safe; go on with\n  safelatent bench run mine.csv --out 'my folder'"
        in err
    )
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.undo()
    assert bench(capsys, place, tmp_path)[0] == 0
    assert (tmp_path / "scores.csv").read_bytes() == (done / "scores.csv").read_bytes()


def test_other_settings_on_the_same_folder_are_refused(capsys, place, done):
    before = {path: path.read_bytes() for path in done.glob("*.csv")}
    code, out, err = bench(capsys, place, done, "--steps", "3")
    assert (code, out) == (2, "")
    assert "steps is 3, was 2" in err
    assert {path: path.read_bytes() for path in before} == before
    assert len(read_run(done).rows) == 12


@pytest.mark.slow
def test_a_hub_model_that_is_on_this_machine_needs_no_network_and_its_commit_is_the_runs(
    place, tmp_path
):
    cache = tmp_path / "hub/models--owner--tiny"
    shutil.copytree(place / "tiny", cache / "snapshots" / COMMIT)
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text(COMMIT)
    asked = [
        "--model",
        "owner/tiny",
        "--protocol",
        "embedded",
        "--methods",
        "off",
        "--images",
        "1",
        "--steps",
        "2",
        "--out",
        "x",
    ]
    for revision in (
        [],
        ["--revision", COMMIT],
    ):  # the second goes on with the first's run: it is the same commit
        command = [
            sys.executable,
            "-m",
            "safelatent",
            "bench",
            "run",
            str(place / "mine.csv"),
            *asked,
            *revision,
        ]
        environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr
    found = read_run(tmp_path / "x")
    assert (found.settings.model, found.settings.revision) == ("owner/tiny", COMMIT)
    assert len(found.rows) == found.planned == 3


BAD = {
    "set": (["nowhere"], "unknown prompts 'nowhere'"),
    "source": (["coco"], "none was given"),
    "methods": (["embedded-i2p", "--methods", "off,stong"], "did you mean 'strong'"),
    "images": (["embedded-i2p", "--images", "0"], "images is 0"),
    "batch": (["embedded-i2p", "--batch", "-1"], "batch is -1"),
    "steps": (["embedded-i2p", "--steps", "0"], "steps is 0"),
    "scale": (["embedded-i2p", "--guidance-scale", "nan"], "guidance_scale is nan"),
    "too many steps": (
        ["embedded-i2p", "--steps", "1001"],
        "steps is 1001; it must be a whole number from 1 to 1000",
    ),
    "limit": (["embedded-i2p", "--limit", "0"], "the limit is 0"),
    "size": (["embedded-i2p", "--size", "huge"], "--size is 'huge'"),
    "dtype": (["embedded-i2p", "--dtype", "float8"], "--dtype is 'float8'"),
    "device": (["embedded-i2p", "--limit", "1", "--device", "cudda"], "there is no device 'cudda'"),
    "concept": (["embedded-i2p", "--concept", " "], "the concept is empty"),
    "model": (["embedded-i2p", "--model", "embeded"], "did you mean 'embedded'"),
    "protocol": (
        ["embedded-i2p", "--limit", "1", "--protocol", "embeded"],
        "did you mean 'embedded'",
    ),
    "engine": (["embedded-i2p", "--engine", "rey"], "did you mean 'ray'"),
    "address": (["embedded-i2p", "--address", "auto"], "give --engine ray with it"),
    "patience": (["embedded-i2p", "--patience", "5"], "give --engine ray with it"),
    "no patience": (["embedded-i2p", "--engine", "ray", "--patience", "0"], "--patience is 0.0"),
    "option": (["embedded-i2p", "--stepz", "3"], "see safelatent bench run --help"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    arguments, message = BAD[case]
    code = main(["bench", "run", *arguments])
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert message in said.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_what_a_library_says_ends_the_run_in_one_line_and_loses_nothing(
    capsys, place, tmp_path, monkeypatch
):
    def broken(*_args, **_kwargs):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(maker_module.Maker, "_pixels", broken)
    code, out, err = bench(capsys, place, tmp_path, "--methods", "off", "--images", "1")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(
        "safelatent: the run ended: RuntimeError: out of memory; what was done before is safe"
    )
    monkeypatch.undo()
    assert bench(capsys, place, tmp_path, "--methods", "off", "--images", "1")[0] == 0


def test_errors_have_no_share_and_the_reasons_are_pointed_to(capsys, place, tmp_path):
    """Two steps are fewer than medium's warm-up, so that no image of it is made."""
    code, out, err = bench(capsys, place, tmp_path, "--methods", "medium", "--images", "1")
    assert code == 0
    assert out.splitlines()[1].split() == ["medium", "–", "0.000", "to", "1.000", "0", "3"]
    assert f"the reasons stand in the column reason of {tmp_path / 'scores.csv'}" in err
