from __future__ import annotations

import pytest

from safelatent.cli import main
from safelatent.evaluation.fidelity import save_fidelity
from safelatent.study import preferences
from tests.evaluation.made_fidelity import made_fidelity
from tests.evaluation.made_runs import made_run
from tests.study.made_studies import answer, made_study, prefer


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["report", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_three_paths_are_printed(capsys, tmp_path):
    made_run(tmp_path / "x")
    code, out, err = run(capsys, str(tmp_path / "x"))
    assert (code, err) == (0, f"next: open {tmp_path / 'x' / 'report.html'} in a browser\n")
    assert out.splitlines() == [
        str(tmp_path / "x" / name) for name in ("report.html", "report.md", "table1.csv")
    ]
    assert (
        (tmp_path / "x" / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    )


def test_two_runs_and_another_folder(capsys, tmp_path):
    made_run(tmp_path / "x")
    made_run(tmp_path / "y", lambda _: "s")
    code, out, _ = run(
        capsys,
        str(tmp_path / "x"),
        "--against",
        str(tmp_path / "y"),
        "--out",
        str(tmp_path / "both"),
    )
    assert code == 0
    assert "Table 3" in (tmp_path / "both" / "report.md").read_text(encoding="utf-8")
    assert len(out.splitlines()) == 3
    assert not (tmp_path / "x" / "report.html").exists()


def test_one_table_alone_is_printed(capsys, tmp_path):
    made_run(tmp_path / "x")
    save_fidelity(made_fidelity(), tmp_path / "x")
    code, out, _ = run(capsys, str(tmp_path / "x"), "--table", "2")
    assert code == 0
    assert out.startswith("### Table 2a. Image fidelity and text alignment\n")
    assert "Table 1" not in out
    assert (
        "| max | 18.00 (100 images; bias more than 7.00) *[SD 1.4, COCO-30k: 18.76]* | – |" in out
    )
    assert not (tmp_path / "x" / "report.html").exists()
    code, out, _ = run(capsys, str(tmp_path / "x"), "--table", "1")
    assert (code, out.count("### Table 1"), "Table 2" in out) == (0, 4, False)


def test_table_2_takes_its_people_from_a_study(capsys, tmp_path):
    study = made_study(tmp_path, 6)
    save_fidelity(made_fidelity(), tmp_path / "run")
    for rater in (1, 2, 3):
        answer(study, rater, prefer("max", share=0.8, seed=rater))
    code, out, err = run(
        capsys, str(tmp_path / "run"), "--table", "2", "--study", str(tmp_path / "study")
    )
    assert code == 0, err
    share = preferences(study.folder)["fidelity"]["max"].share
    row = next(line for line in out.splitlines() if line.startswith("| max |"))
    assert f"| {share.value:.0%}".replace("%", " %") in row
    code, out, err = run(capsys, str(tmp_path / "run"), "--study", str(tmp_path / "study"))
    assert (code, out) == (2, "")
    assert "is for Table 2; add --table 2" in err


BAD = {
    "nothing": ([], "Missing argument"),
    "no folder": (["{}/nowhere"], "holds no run (no run.sqlite)"),
    "no run": (["{}"], "holds no run"),
    "no row": (["{}/empty"], "has no result yet"),
    "against nothing": (["{}/x", "--against", "{}/nowhere"], "holds no run"),
    "against itself": (["{}/x", "--against", "{}/x"], "compared with itself"),
    "against another protocol": (
        ["{}/x", "--against", "{}/other"],
        "numbers of two protocols are not comparable",
    ),
    "out is a file": (["{}/x", "--out", "{}/file"], "file is not a folder; give another place"),
    "table": (["{}/x", "--table", "3"], "--table is '3'; it must be one of 1, 2"),
    "table 2": (["{}/x", "--table", "2"], "run `safelatent bench fidelity"),
    "option": (["{}/x", "--agianst", "{}/y"], "--agianst"),
    "two runs": (["{}/x", "{}/other"], "unexpected extra argument"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    made_run(place / "x")
    made_run(place / "empty", lambda _: " ")
    made_run(place / "other", protocol_hash="2" * 64)
    (place / "file").write_text("")
    return place


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(capsys, place, case):
    arguments, message = BAD[case]
    code, out, err = run(capsys, *(argument.format(place) for argument in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("safelatent: ")
    assert err.count("\n") == 1
    assert not list(place.rglob("report.html"))


def test_a_database_that_is_none_is_one_line(capsys, tmp_path):
    (tmp_path / "run.sqlite").write_bytes(b"not a database at all, but long enough to be looked at")
    code, _, err = run(capsys, str(tmp_path))
    assert code == 2
    assert "not a database" in err
