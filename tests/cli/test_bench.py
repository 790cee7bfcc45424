"""``bench run`` as a whole: a tiny model for what happens, the embedded one for what it prints."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import sys

import huggingface_hub.constants
import pytest

from safelatent.cli import main
from safelatent.cli.bench import summary
from safelatent.evaluation.report import report_of
from safelatent.evaluation.table1 import table1
from safelatent.prompts import Prompt
from safelatent.runs import RunResult, read_run
from safelatent.runs import worker as worker_module
from tests import tiny
from tests.evaluation.made_runs import made_run

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


def options(place, methods: str = "off,max") -> list[str]:
    chosen = {"model": place / "tiny", "protocol": "embedded", "methods": methods}
    chosen |= {"images": 2, "steps": 2, "batch-size": 2}
    return [str(part) for name, value in chosen.items() for part in (f"--{name}", value)]


def bench(capsys, place, out, *more: str) -> tuple[int, str, str]:
    table = str(place / "mine.csv")
    code = main(["bench", "run", table, *options(place), "--out", str(out), *more])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(scope="module")
def done(place):
    """A finished run of the tiny model, whose pictures nothing can be recognised in."""
    out = place / "done"
    command = ["bench", "run", str(place / "mine.csv"), *options(place), "--out", str(out)]
    assert main(command) == 0
    return out


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A finished run of the embedded model: the judge answers, and the guard changes something."""
    out = tmp_path_factory.mktemp("judged") / "run"
    chosen = ["--methods", "off,strong", "--images", "2", "--limit", "4", "--steps", "14"]
    assert main(["bench", "run", "embedded-i2p", *chosen, "--out", str(out)]) == 0
    return out


def test_categories_and_seeds_are_those_of_the_table(done):
    with (done / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * 2 * 2
    assert {(row["prompt_id"], row["seed"], row["categories"]) for row in rows} == {
        ("mine-00000", "11", "hate"),
        ("mine-00001", "12", "hate, violence"),
        ("mine-00002", "13", "violence"),
    }


def printed(out: str) -> dict[str, list[str]]:
    """The numbers of a printed table, by method."""
    return {line.split()[0]: line.split()[1:] for line in out.splitlines()[1:]}


def test_a_finished_run_has_nothing_to_do_and_prints_the_report_s_numbers(capsys, judged):
    table = report_of(read_run(judged)).table
    assert list(table.overall) == ["off", "strong"]
    assert min(one.judged for one in table.overall.values()) >= 4, "the judge answers"
    assert table.overall["off"].inappropriate > table.overall["strong"].inappropriate, "they differ"
    capsys.readouterr()
    chosen = ["--methods", "off,strong", "--images", "2", "--limit", "4", "--steps", "14"]
    assert main(["bench", "run", "embedded-i2p", *chosen, "--out", str(judged)]) == 0
    said = capsys.readouterr()
    assert "resuming: 16 of 16 images were saved before" in said.err
    assert f"next: safelatent report {judged}" in said.err
    found = printed(said.out)
    assert found.keys() == table.overall.keys()
    for method, one in table.overall.items():
        p = one.probability
        expected = [f"{p.value:.3f}", f"{p.low:.3f}", "to", f"{p.high:.3f}"]
        assert found[method] == [*expected, str(one.unusable), str(one.errors)]


def test_prompts_of_one_text_are_one_prompt_as_in_the_report(capsys, tmp_path):
    """The same prompt under many ids is one prompt, and the interval as wide as that."""
    prompts = [Prompt(text=f"text {n % 3}", id=f"p-{n}", seed=n) for n in range(12)]
    found = made_run(
        tmp_path,
        lambda item: "i" if item.prompt.text == "text 0" else "s",
        prompts,
        methods=("off",),
    )
    summary(RunResult(folder=tmp_path, counts={}, missing=0))
    share = table1(found).overall["off"].probability
    assert share.high - share.low > 0.5, "three prompts say little"
    assert f"{share.value:.3f}   {share.low:.3f} to {share.high:.3f}" in capsys.readouterr().out


def test_images_without_a_verdict_have_no_share(capsys, place, done):
    code, out, _ = bench(capsys, place, done)
    assert code == 0
    assert printed(out) == {
        method: ["–", "0.000", "to", "1.000", "6", "0"] for method in ("off", "max")
    }


@pytest.mark.parametrize("how", ["ctrl-c", "sigterm", "sigint in the background"])
def test_an_interrupt_keeps_what_is_done_and_prints_the_command_that_resumes(
    capsys, place, done, tmp_path, monkeypatch, how
):
    real, count = worker_module.Worker.denoise, 0

    def interrupted(self, encoded):
        nonlocal count
        count += 1
        if count == 4:
            if how == "ctrl-c":
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGTERM if how == "sigterm" else signal.SIGINT)
        return real(self, encoded)

    monkeypatch.setattr(worker_module.Worker, "denoise", interrupted)
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
        "stopped: 6 of 12 images saved; resume with:\n"
        "  safelatent bench run mine.csv --out 'my folder'" in err
    )
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.undo()
    assert bench(capsys, place, tmp_path)[0] == 0
    assert (tmp_path / "scores.csv").read_bytes() == (done / "scores.csv").read_bytes()


def test_other_settings_on_the_same_folder_are_refused(capsys, place, done, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["safelatent", "bench", "run", "mine.csv", "--steps", "3"])
    before = {path: path.read_bytes() for path in done.glob("*.csv")}
    code, out, err = bench(capsys, place, done, "--steps", "3")
    assert (code, out) == (2, "")
    assert "steps is 3, was 2" in err
    assert err.endswith("; resume with: safelatent bench run mine.csv --steps 3 --steps=2\n")
    assert {path: path.read_bytes() for path in before} == before
    assert len(read_run(done).rows) == 12


@pytest.mark.slow
def test_a_hub_model_that_is_on_this_machine_needs_no_network_and_its_commit_is_the_runs(
    place, tmp_path, monkeypatch
):
    """Every test runs with HF_HUB_OFFLINE=1."""
    cache = tmp_path / "models--owner--tiny"
    shutil.copytree(place / "tiny", cache / "snapshots" / COMMIT)
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text(COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    asked = ["--model", "owner/tiny", "--protocol", "embedded", "--methods", "off", "--images", "1"]
    asked += ["--steps", "2", "--out", str(tmp_path / "x")]
    # The second resumes the first's run: it is the same commit.
    for revision in ([], ["--revision", COMMIT]):
        assert main(["bench", "run", str(place / "mine.csv"), *asked, *revision]) == 0
    found = read_run(tmp_path / "x")
    assert (found.settings.model, found.settings.revision) == ("owner/tiny", COMMIT)
    assert len(found.rows) == found.planned == 3


BAD = {
    "set": (["nowhere"], "unknown prompts 'nowhere'"),
    "source": (["coco"], "none was given"),
    "methods": (["embedded-i2p", "--methods", "off,stong"], "did you mean 'strong'"),
    "images": (["embedded-i2p", "--images", "0"], "images is 0"),
    "batch": (["embedded-i2p", "--batch-size", "-1"], "--batch-size is -1"),
    "steps": (["embedded-i2p", "--steps", "0"], "steps is 0"),
    "scale": (["embedded-i2p", "--guidance-scale", "nan"], "--guidance-scale is nan"),
    "too many steps": (
        ["embedded-i2p", "--steps", "1001"],
        "steps is 1001; it must be a whole number from 1 to 1000",
    ),
    "limit": (["embedded-i2p", "--limit", "0"], "--limit is 0"),
    "size": (["embedded-i2p", "--size", "huge"], "size is 'huge'"),
    "dtype": (["embedded-i2p", "--dtype", "float8"], "dtype is 'float8'"),
    "a place": (["embedded-i2p", "--out", "/proc/x"], "--out is '/proc/x', and nothing can be"),
    "a method": (["embedded-i2p", "--methods", "foo"], "must be one of off, negative, weak"),
    "device": (["embedded-i2p", "--limit", "1", "--device", "cudda"], "there is no device 'cudda'"),
    "concept": (["embedded-i2p", "--concept", " "], "--concept is empty"),
    "model": (["embedded-i2p", "--model", "embeded"], "did you mean 'embedded'"),
    "protocol": (
        ["embedded-i2p", "--limit", "1", "--protocol", "embeded"],
        "did you mean 'embedded'",
    ),
    "no protocol": (["embedded-i2p", "--limit", "1", "--protocol", ""], "unknown protocol ''"),
    "no revision": (["embedded-i2p", "--model", "a/b", "--revision", ""], "--revision is empty"),
    "engine": (["embedded-i2p", "--engine", "rey"], "did you mean 'ray'"),
    "address": (["embedded-i2p", "--address", "auto"], "it needs the engine ray"),
    "timeout": (["embedded-i2p", "--timeout", "5"], "timeout is 5.0 and the engine is local"),
    "no timeout": (["embedded-i2p", "--engine", "ray", "--timeout", "0"], "timeout is 0.0"),
    "warm-up": (["embedded-i2p", "--limit", "1", "--steps", "8"], "weak has a warm-up of 15"),
    "vectors": (["embedded-i2p", "--limit", "1", "--protocol", "i2p-paper"], "docs/detectors.md"),
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

    monkeypatch.setattr(worker_module.Worker, "_pixels", broken)
    code, out, err = bench(capsys, place, tmp_path, "--methods", "off", "--images", "1")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(
        "safelatent: the run was aborted: RuntimeError: out of memory; fix the cause and run the"
    )
    monkeypatch.undo()
    assert bench(capsys, place, tmp_path, "--methods", "off", "--images", "1")[0] == 0


def test_errors_have_no_share_and_the_reasons_are_pointed_to(capsys, place, tmp_path):
    """The paper's concept is no prompt here."""
    (tmp_path / "mine.csv").write_text("prompt\nviolence\n")
    chosen = [*options(place, "max"), "--concept", "violence", "--out", str(tmp_path / "run")]
    assert main(["bench", "run", str(tmp_path / "mine.csv"), *chosen]) == 0
    said = capsys.readouterr()
    assert printed(said.out) == {"max": ["–", "0.000", "to", "1.000", "0", "2"]}
    assert f"the column reason of {tmp_path / 'run/scores.csv'} and the report give" in said.err


def test_a_run_grows_and_says_what_it_kept(capsys, place, done, tmp_path):
    small = ["--methods", "max", "--images", "1", "--limit", "2"]
    assert bench(capsys, place, tmp_path, *small)[0] == 0
    code, out, err = bench(capsys, place, tmp_path)
    assert code == 0
    assert "resuming: 2 of 12 images were saved before" in err
    assert {method: row[-2:] for method, row in printed(out).items()} == {
        "off": ["6", "0"],
        "max": ["6", "0"],
    }
    with (
        (tmp_path / "scores.csv").open(encoding="utf-8") as grown,
        (done / "scores.csv").open(encoding="utf-8") as whole,
    ):
        assert [row.split(",")[:3] for row in grown] == [row.split(",")[:3] for row in whole]
    code, out, err = bench(capsys, place, tmp_path, *small)
    assert (code, out) == (2, "")
    assert "images is 1, was 2; methods left out: off" in err
    assert "resume with" not in err, "no option brings back prompts"
    code, out, err = bench(capsys, place, tmp_path, *small[:-2])
    assert (code, out) == (2, "")
    assert err.endswith(" --methods=off,max --images=2\n")
    assert bench(capsys, place, tmp_path, *small[:-2], "--methods=off,max", "--images=2")[0] == 0


def test_deleted_images_are_said_and_drawn_again_on_request(capsys, place, done, tmp_path):
    copy = shutil.copytree(done, tmp_path / "run")
    files = sorted(copy.glob("images/*/*.png"))
    for file in files:
        file.unlink()
    code, _, err = bench(capsys, place, copy)
    assert code == 0
    assert f"note: 12 images are missing from {copy / 'images'}; give --redraw-missing" in err
    assert bench(capsys, place, copy, "--redraw-missing")[0] == 0
    assert sorted(copy.glob("images/*/*.png")) == files
    for file in files:
        assert file.read_bytes() == (done / file.relative_to(copy)).read_bytes()
