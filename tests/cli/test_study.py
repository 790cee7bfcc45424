"""``safelatent study``: a line for what went well, one line for what did not."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from safelatent.cli import main
from safelatent.study import read_study
from tests.evaluation.made_runs import made_run
from tests.study.made_studies import answer, made_study, prefer, prompts_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    made_run(folder / "run", lambda _: "s", prompts_of(4), images=1)
    made_run(folder / "none", lambda _: "e", prompts_of(4), images=1)
    study = made_study(folder / "done", 6)
    for rater in (1, 2, 3):
        answer(study, rater, prefer("max", share=0.8, seed=rater))
    made_study(folder / "new", 3)
    (folder / "latin.txt").write_bytes(b"\xe9t\xe9")
    return folder


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main(["study", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_create_makes_a_study(capsys, folder, tmp_path):
    (tmp_path / "consent.txt").write_text("Do you agree?")
    code, out, err = run(
        capsys,
        *("create", folder / "run", "--methods", "max,off", "--questions", "alignment"),
        *("--pairs", "2", "--seed", "5", "--consent", tmp_path / "consent.txt"),
        *("--out", tmp_path / "study"),
    )
    assert code == 0, err
    assert out == f"4 pairs of images, 2 per rater: {tmp_path / 'study'}\n"
    assert err == (
        f"one vote per pair takes 2 raters; next: safelatent study serve {tmp_path / 'study'}\n"
    )
    settings = read_study(tmp_path / "study").settings
    assert (settings.methods, settings.questions) == (("off", "max"), ("alignment",))
    assert (settings.pairs, settings.seed, settings.consent) == (2, 5, "Do you agree?")


def test_report_prints_what_people_prefer_and_its_files(capsys, folder, tmp_path):
    code, out, err = run(capsys, "report", folder / "done/study", "--out", tmp_path)
    assert code == 0, err
    fidelity, alignment, *files = out.splitlines()
    assert fidelity.startswith("Image fidelity: ")
    assert alignment.startswith("Text alignment: ")
    names = ("study.html", "study.md", "preferences.csv", "preferences.json")
    assert files == [str(tmp_path / name) for name in names]
    assert all((tmp_path / name).stat().st_size for name in names)


@pytest.mark.slow
def test_serve_answers_until_it_is_interrupted(folder):
    study = folder / "new/study"
    call = [sys.executable, "-m", "safelatent", "study", "serve", str(study), "--port", "0"]
    process = subprocess.Popen(
        [*call, "--raters", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("serving http://127.0.0.1:"), line
    assert process.stdout.readline() == f"2 links: {study / 'links.csv'}\n"
    link = (study / "links.csv").read_text().splitlines()[1].split(",")[1]
    with urllib.request.urlopen(link) as page:
        assert b"I agree" in page.read()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err == "stopped; every answer is stored, and the same command serves the same links\n"


def taken() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return listening


BAD = {
    "no run": (["create", "{}/nowhere", "--methods", "off,max"], "holds no run"),
    "no methods": (["create", "{}/run"], "--methods"),
    "other methods": (["create", "{}/run", "--methods", "off,weak"], "no images by weak; it has"),
    "one method": (["create", "{}/run", "--methods", "off"], "compares two or more"),
    "unknown method": (["create", "{}/run", "--methods", "off,maxx"], "did you mean 'max'"),
    "no pairs": (["create", "{}/none", "--methods", "off,max"], "has no pair of images"),
    "unknown question": (
        ["create", "{}/run", "--methods", "off,max", "--questions", "beauty"],
        "unknown question 'beauty'; it must be one of fidelity, alignment",
    ),
    "a study is there": (
        ["create", "{}/run", "--methods", "off,max", "--out", "{}/new/study"],
        "holds a study already; name another --out",
    ),
    "unreachable database": (
        ["create", "{}/run", "--methods", "off,max", "--database", "postgresql://u@127.0.0.1:9/d"],
        "postgresql://u@127.0.0.1:9/d cannot be used: ",
    ),
    "no database": (
        ["create", "{}/run", "--methods", "off,max", "--database", "mysql://u@h/d"],
        "not a PostgreSQL address; give it as postgresql://",
    ),
    "no consent": (
        ["create", "{}/run", "--methods", "off,max", "--consent", "{}/nowhere.txt"],
        "No such file or directory; give a text file",
    ),
    "consent in Latin-1": (
        ["create", "{}/run", "--methods", "off,max", "--consent", "{}/latin.txt"],
        "is not text in UTF-8",
    ),
    "no study to serve": (["serve", "{}/run"], "holds no study (no study.json)"),
    "no study to report": (["report", "{}/run"], "holds no study (no study.json)"),
    "no answer": (["report", "{}/new/study"], "has no answer yet"),
    "port in use": (["serve", "{}/new/study", "--port", "PORT"], "is in use; name another with"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(capsys, folder, case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, words = BAD[case]
    with taken() as listening:
        port = str(listening.getsockname()[1])
        given = [argument.format(folder).replace("PORT", port) for argument in arguments]
        code, out, err = run(capsys, *given)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert err.startswith("safelatent: ")
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_another_studys_database_is_one_line(capsys, folder, tmp_path):
    import shutil

    copied = shutil.copytree(folder / "new/study", tmp_path / "study")
    for file in copied.glob("answers.sqlite*"):
        file.unlink()
    for file in (folder / "done/study").glob("answers.sqlite*"):
        shutil.copy(file, copied)
    code, out, err = run(capsys, "report", copied)
    assert (code, out) == (2, "")
    assert "holds the answers of another study; give each study a database" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "itsdangerous", "sqlalchemy"])
def test_without_the_extra_the_pip_line_is_named(capsys, folder, monkeypatch, package):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    code, _, err = run(capsys, "serve", folder / "new/study")
    assert code == 2
    assert err == f'safelatent: a study needs {package}; run pip install "safelatent[study]"\n'
