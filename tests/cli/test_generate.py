"""What ``generate`` refuses before anything is loaded, and how its options reach the model."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from safelatent import guard, storage
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


def objects(capsys, *arguments: str) -> list[dict]:
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def stored(file) -> Image.Image:
    with Image.open(file) as picture:
        picture.load()
        return picture


BAD = {
    "nothing": ([], "no prompt was given"),
    "empty": ([""], "the prompt is ''"),
    "blank": (["  "], "give at least one word"),
    "minors": (
        ["a cat", "a nude minor"],
        "'a nude minor' combines words for minors with sexual content; no image is ever made",
    ),
    "withheld": (["[withheld]"], "publisher removed the text"),
    "safety": (["x", "--safety", "stong"], "did you mean 'strong'"),
    "no safety": (["x", "--safety", ""], "unknown safety ''"),
    "no protocol": (["x", "--compare", "--protocol", ""], "unknown protocol ''"),
    "no revision": (["x", "--model", "a/b", "--revision", ""], "--revision is empty"),
    "steps 0": (["x", "--steps", "0"], "steps is 0"),
    "steps text": (["x", "--steps", "many"], "--steps"),
    "scale": (["x", "--guidance-scale", "1"], "--guidance-scale is 1"),
    "scale nan": (["x", "--guidance-scale", "nan"], "--guidance-scale is nan"),
    "seed": (["x", "--seed", "-1"], "seed is -1"),
    "last seed": (["x", "--seed", str(2**63 - 2), "--images", "3"], f"seed is {2**63}"),
    "images": (["x", "--images", "0"], "images is 0"),
    "a jpeg": (["x", "--out", "mine.JPG"], "written as PNG, which keeps how they were made; name"),
    "millions": (["x", "--images", "30000000"], "one command draws at most 10000"),
    "batch size": (["x", "--batch-size", "0"], "--batch-size is 0"),
    "concept": (["x", "--concept", " "], "--concept is empty"),
    "model": (["x", "--model", "embeded"], "did you mean 'embedded'"),
    "dtype": (["x", "--dtype", "float61"], "did you mean 'float16'"),
    "device": (["x", "--device", "cudda"], "there is no device 'cudda'"),
    "file": (["--file", "/nowhere"], "/nowhere"),
    "two pictures": (["x", "--compare", "--trace"], "choose one of them"),
    "trace of nothing": (["x", "--trace", "--safety", "off"], "--trace needs the guard"),
    "several": (["x", "--compare", "--images", "2"], "--images is 2"),
    "negative": (["x", "--compare", "--negative-prompt", "y"], "has a column for the negative"),
    "safety compared": (["x", "--compare", "--safety", "max"], "leave --safety out"),
    "settings compared": (["x", "--compare", "--scale", "500"], "leave --scale out"),
    "many compared": (["x"] * 101 + ["--compare"], "shows at most 100"),
    "settings of off": (["x", "--safety", "off", "--decay", "0.1"], "--decay needs the guard"),
    "no plan": (
        ["x", "--plan", "quick"],
        "--plan is 'quick'; it must be 'exact' or 'fast', or name",
    ),
    "plan of off": (["x", "--safety", "off", "--plan", "exact"], "--plan needs the guard"),
    "plan compared": (["x", "--compare", "--plan", "concept=5"], "leave --plan out"),
    "settings of adaptive": (
        ["x", "--safety", "adaptive", "--scale", "500"],
        "scale is of a preset, and the safety is adaptive",
    ),
    "two warm-ups": (["x", "--warmup", "2", "--warmup-noise-level", "0.8"], "choose one of them"),
    "warm-up": (["x", "--warmup", "-1"], "warmup is -1"),
    "noise level": (["x", "--warmup-noise-level", "1.5"], "the noise level is 1.5"),
    "settings": (["x", "--scale", "0.5"], "scale is 0.5; it must be a number of at least 1"),
    "threshold": (["x", "--threshold", "nan"], "threshold is nan"),
    "momentum": (["x", "--momentum", "2"], "momentum is 2"),
    "decay": (["x", "--decay", "1"], "decay is 1"),
    "unjudged": (["x", "--protocol", "embedded"], "judge files with: safelatent check"),
    "unjudged vectors": (["x", "--vectors", "a.npy"], "--vectors is for --compare and --trace"),
    "protocol": (["x", "--compare", "--protocol", "embeded"], "did you mean 'embedded'"),
    "protocol without vectors": (
        ["x", "--trace", "--protocol", "i2p-paper"],
        "needs Q16's two published vectors",
    ),
    "out": (["x", "--out", "/etc/passwd/x"], "not a folder"),
    "out file": (["x", "y", "--out", "x.png"], "is one file and there are several pictures"),
    "out file, images": (["x", "--images", "2", "--out", "x.png"], "there are several pictures"),
    "out file, traces": (["x", "y", "--trace", "--out", "x.png"], "there are several pictures"),
    "overwritten folder": (["x", "--overwrite"], "--overwrite is for a .png file"),
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


def test_an_existing_file_is_not_overwritten_unless_asked(capsys, tmp_path, model):
    file = tmp_path / "x.png"
    rest = ["a cat", "--safety", "max", "--steps", "2", "--model", model, "--out", str(file)]
    assert run(capsys, *rest)[0] == 0
    first = file.read_bytes()
    assert stored(file).size == (8, 8)
    code, out, err = run(capsys, *rest)
    assert (code, out) == (2, "")
    assert "exists already; name another file, or add --overwrite" in err
    assert file.read_bytes() == first
    assert run(capsys, *rest, "--seed", "7", "--overwrite")[0] == 0
    assert json.loads(stored(file).text["safelatent"])["seed"] == 7


def test_a_folder_with_a_pictures_name_and_a_read_only_place(capsys, tmp_path, monkeypatch):
    (tmp_path / "x.png").mkdir()
    code, out, err = run(capsys, "x", "--out", str(tmp_path / "x.png"))
    assert (code, out) == (2, "")
    assert "is a folder with the name of a picture" in err

    def read_only(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(storage.tempfile, "mkdtemp", read_only)
    code, out, err = run(capsys, "x", "--out", str(tmp_path))
    assert (code, out) == (2, "")
    assert f"nothing can be written to {tmp_path} (Read-only file system); give another" in err


def test_prompts_from_a_file_and_standard_input(capsys, tmp_path, model, monkeypatch):
    listed = tmp_path / "prompts.txt"
    listed.write_bytes("\ufeffa cat\r\n\r\n  a dog  \n".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the party\n"), "utf-8"))
    rest = ["--safety", "max", "--model", model, "--steps", "2", "--out", str(tmp_path)]
    made = objects(capsys, "-", "--file", str(listed), *rest)
    assert [value["prompt"] for value in made] == ["the party", "a cat", "a dog"]


def test_bytes_that_are_no_text(capsys, tmp_path, monkeypatch):
    listed = tmp_path / "prompts.txt"
    listed.write_bytes(b"a cat\n\xff\xfe")
    code, _, err = run(capsys, "--file", str(listed))
    assert code == 2
    assert "byte 6 is 0xff, which is not UTF-8; save the file as UTF-8" in err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed.read_bytes()), "latin-1"))
    code, _, err = run(capsys, "-")
    assert code == 2
    assert "standard input is not UTF-8 (byte 6 is 0xff)" in err


def test_settings_go_on_top_of_the_preset(capsys, tmp_path, model):
    rest = ["a cat", "--model", model, "--steps", "12", "--out", str(tmp_path)]
    settings = ["--warmup", "1", "--scale", "1500", "--threshold", "1", "--momentum", "0"]
    [made] = objects(capsys, *rest, "--safety", "strong", *settings)
    expected = {"warmup": 1, "scale": 1500.0, "threshold": 1.0, "momentum": 0.0, "decay": 0.7}
    assert made["receipt"]["settings"] == expected
    [made] = objects(capsys, *rest, "--safety", "max", "--warmup-noise-level", "0.8")
    assert made["receipt"]["settings"]["warmup"] > 0
    assert made["receipt"]["settings"]["scale"] == 5000.0


def test_precision_device_and_variant_reach_the_model(capsys, tmp_path):
    folder = tmp_path / "half"
    tiny.pipeline().save_pretrained(folder, variant="fp16")
    rest = ["a cat", "--model", str(folder), "--safety", "max", "--steps", "2"]
    rest += ["--device", "cpu", "--dtype", "bfloat16", "--out", str(tmp_path / "out")]
    [made] = objects(capsys, *rest, "--variant", "fp16")
    assert (made["variant"], made["dtype"]) == ("fp16", "bfloat16")
    code, out, err = run(capsys, *rest, "--variant", "fp61")
    assert (code, out) == (2, "")
    assert "fp61" in err


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A pipeline that was saved guarded."""
    folder = tmp_path_factory.mktemp("models") / "guarded"
    guard(tiny.pipeline(), "max", concept="blood, weapons").save_pretrained(folder)
    return str(folder)


def test_a_pipeline_that_was_saved_guarded_is_drawn_as_it_was_saved(capsys, tmp_path, guarded):
    rest = ["--model", guarded, "--steps", "3", "--out", str(tmp_path)]
    [made] = objects(capsys, "a cat", *rest)
    assert made["safety"] == "saved"
    assert made["receipt"]["safety"] == "max"
    assert made["receipt"]["concept"] == "blood, weapons"
    code, out, _ = run(capsys, "a cat", *rest, "--trace")
    assert code == 0
    assert Path(out.strip()).is_file()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--safety", "off"),
        ("--safety", "max"),
        ("--concept", "blood"),
        ("--scale", "500"),
        ("--warmup-noise-level", "0.5"),
        ("--compare", None),
    ],
)
def test_no_option_changes_a_guard_that_was_saved(capsys, tmp_path, guarded, option, value):
    arguments = ["a cat", "--model", guarded, "--out", str(tmp_path / "out"), option]
    code, out, err = run(capsys, *arguments, *([value] if value else []))
    assert (code, out) == (2, "")
    assert f"was saved guarded and is drawn as it was saved; leave {option} out" in err
    assert not (tmp_path / "out").exists()
