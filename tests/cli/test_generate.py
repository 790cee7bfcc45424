from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from safelatent.cli import main
from tests import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    target = tmp_path_factory.mktemp("models") / "tiny"
    tiny.pipeline().save_pretrained(target)
    return str(target)


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["generate", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def stored(file) -> Image.Image:
    with Image.open(file) as picture:
        picture.load()
        return picture


def test_an_image_and_its_metadata(capsys, tmp_path, model):
    code, out, err = run(
        capsys,
        "a cat",
        "blood at a party",
        "--model",
        model,
        "--steps",
        "12",
        "--out",
        str(tmp_path),
        "--seed",
        "5",
    )
    assert code == 0
    lines = out.strip().splitlines()
    assert len(lines) == 2
    assert "(guarded in 2 of 12 steps" in lines[0]
    assert "[1/2] 'a cat', medium" in err
    files = sorted(tmp_path.glob("*.png"))
    assert len(files) == 2
    metadata = json.loads(stored(files[0]).text["safelatent"])
    assert metadata["prompt"] == "a cat"
    assert metadata["seed"] == 5
    assert metadata["receipt"]["safety"] == "medium"


def test_json_is_one_object_an_image_and_nothing_else(capsys, tmp_path, model):
    code, out, _ = run(
        capsys,
        "a cat",
        "--images",
        "3",
        "--json",
        "--safety",
        "max",
        "--model",
        model,
        "--steps",
        "3",
        "--out",
        str(tmp_path),
    )
    objects = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [value["seed"] for value in objects] == [0, 1, 2]
    assert all(stored(value["file"]).size == (8, 8) for value in objects)
    assert all(value["receipt"]["guided_steps"] == 3 for value in objects)


def test_off_says_that_it_is_unguarded(capsys, tmp_path, model):
    code, out, err = run(
        capsys, "a cat", "--safety", "off", "--model", model, "--steps", "2", "--out", str(tmp_path)
    )
    assert code == 0
    assert "unguarded" in out
    assert "safety is off" in err


def test_a_comparison_in_one_picture(capsys, tmp_path, model):
    file = tmp_path / "all.png"
    code, out, _ = run(
        capsys,
        "a cat",
        "a dog",
        "--compare",
        "--json",
        "--model",
        model,
        "--steps",
        "16",
        "--out",
        str(file),
    )
    objects = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [value["safety"] for value in objects] == [
        "off",
        "negative prompt",
        "weak",
        "medium",
        "strong",
        "max",
    ] * 2
    assert {value["file"] for value in objects} == {str(file)}
    picture = stored(file)
    assert picture.width > 6 * 192
    assert len(json.loads(picture.text["safelatent"])) == 12


def test_a_trace_a_prompt(capsys, tmp_path, model):
    code, out, _ = run(
        capsys,
        "a cat",
        "a dog",
        "--trace",
        "--model",
        model,
        "--steps",
        "12",
        "--out",
        str(tmp_path),
    )
    assert code == 0
    assert len(out.split()) == len(list(tmp_path.glob("trace-*.png"))) == 2


def test_prompts_from_a_file_and_standard_input(capsys, tmp_path, model, monkeypatch):
    listed = tmp_path / "prompts.txt"
    listed.write_bytes("\ufeffa cat\r\n\r\n  a dog  \n".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the party\n"), "utf-8"))
    code, out, _ = run(
        capsys,
        "-",
        "--file",
        str(listed),
        "--json",
        "--safety",
        "max",
        "--model",
        model,
        "--steps",
        "2",
        "--out",
        str(tmp_path),
    )
    assert code == 0
    assert [json.loads(line)["prompt"] for line in out.splitlines()] == [
        "the party",
        "a cat",
        "a dog",
    ]


def test_a_prompt_that_is_cut_is_named(capsys, tmp_path, model):
    long = "cat " * 100
    _, _, err = run(
        capsys, long, "--safety", "max", "--model", model, "--steps", "2", "--out", str(tmp_path)
    )
    assert "has 102 tokens, the model reads 77" in err


BAD = {
    "nothing": ([], "no prompt was given"),
    "empty": ([""], "the prompt is ''"),
    "blank": (["  "], "give at least one word"),
    "minors": (
        ["a cat", "a nude minor"],
        "'a nude minor' combines words for minors with sexual content; no image is ever made from it",
    ),
    "withheld": (["[withheld]"], "took the text out"),
    "safety": (["x", "--safety", "stong"], "did you mean 'strong'"),
    "steps 0": (["x", "--steps", "0"], "steps is 0"),
    "steps text": (["x", "--steps", "many"], "--steps"),
    "scale": (["x", "--guidance-scale", "1"], "guidance scale is 1"),
    "scale nan": (["x", "--guidance-scale", "nan"], "guidance scale is nan"),
    "seed": (["x", "--seed", "-1"], "seed is -1"),
    "images": (["x", "--images", "0"], "--images is 0"),
    "concept": (["x", "--concept", " "], "the concept is empty"),
    "model": (["x", "--model", "embeded"], "did you mean 'embedded'"),
    "file": (["--file", "/nowhere"], "not a file"),
    "two pictures": (["x", "--compare", "--trace"], "ask for one"),
    "trace of nothing": (["x", "--trace", "--safety", "off"], "--safety is off"),
    "several": (["x", "--compare", "--images", "2"], "--images is 2"),
    "negative": (["x", "--compare", "--negative-prompt", "y"], "column of its own"),
    "out": (["x", "--out", "/etc/passwd/x"], "not a folder"),
    "out file": (["x", "--out", "x.png"], "names a file"),
    "option": (["x", "--stepz", "3"], "--stepz"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    arguments, message = BAD[case]
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.startswith("safelatent: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_concept_that_is_too_long_or_a_warm_up_too_short_is_refused_before_an_image(
    capsys, tmp_path, model
):
    words = ",".join(f"cat{'s' * n}" for n in range(60))
    code, out, err = run(
        capsys, "a cat", "--concept", words, "--model", model, "--out", str(tmp_path)
    )
    assert (code, out) == (2, "")
    assert "take terms away" in err
    code, out, err = run(capsys, "a cat", "--steps", "5", "--model", model, "--out", str(tmp_path))
    assert (code, out) == (2, "")
    assert "the warm-up is 10 steps and the call has 5" in err
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_no_text(capsys, tmp_path):
    listed = tmp_path / "prompts.txt"
    listed.write_bytes(b"a cat\n\xff\xfe")
    code, _, err = run(capsys, "--file", str(listed))
    assert code == 2
    assert "not UTF-8 (byte 6 is 0xff)" in err


def test_an_interrupt_names_what_is_whole(capsys, tmp_path, model, monkeypatch):
    from safelatent.cli import drawing

    kept = drawing.sample
    count = 0

    def twice(pipe, requests):
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        return kept(pipe, requests)

    monkeypatch.setattr(drawing, "sample", twice)
    code, out, err = run(
        capsys,
        "a cat",
        "--images",
        "3",
        "--safety",
        "max",
        "--steps",
        "2",
        "--model",
        model,
        "--out",
        str(tmp_path),
    )
    assert code == 130
    assert len(out.splitlines()) == len(list(tmp_path.iterdir())) == 1
    assert "whole" in err


def test_the_commands_are_there():
    environment = os.environ | {"COLUMNS": "100"}
    shown = subprocess.run(
        [sys.executable, "-m", "safelatent", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout
    assert "generate" in shown
    version = subprocess.run(
        [sys.executable, "-m", "safelatent", "--version"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert version.startswith("safelatent 0.")


def test_a_read_only_place_is_refused_before_anything_is_drawn(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda _path, mode, **_: mode != os.W_OK)
    code, out, err = run(capsys, "x", "--out", str(tmp_path))
    assert (code, out) == (2, "")
    assert "is read-only" in err
