"""The command: one line per method, notes on standard error, one line for bad input."""

from __future__ import annotations

import pytest

from safelatent.cli import main
from tests.evaluation.made_runs import made_run
from tests.features.tiny_clip import save_clip, save_pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fidelity")
    made_run(folder / "run")
    made_run(folder / "empty", lambda _: " ")
    save_clip(folder / "clip")
    save_pictures(folder / "reference", 9)
    save_pictures(folder / "one", 1)
    return folder


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main(["bench", "fidelity", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_folder_gives_every_number(capsys, folder):
    given = (folder / "run", "--reference", folder / "reference", "--features", folder / "clip")
    code, out, err = run(capsys, *given)
    assert code == 0, err
    head, features, titles, *lines = out.splitlines()
    assert head == f"reference: {folder / 'reference'}, 9 images"
    assert features.startswith(f"features: {folder / 'clip'}, ")
    assert titles.split()[:5] == ["method", "n", "FID", "bias", "KID"]
    assert [line.split()[0] for line in lines] == ["off", "medium", "max"]
    assert [line.split()[1] for line in lines] == ["7", "8", "8"]
    assert "FID is left out below 8 images" in err
    assert "features: 9 of 9 images" in err
    off, medium, _ = lines
    assert off.split()[2:4] == ["–", "–"]
    assert "±" in off
    assert off.split()[-2:] == ["–", "–"]
    assert "~" in medium
    assert medium.split()[-2] == "0.200"


def test_the_second_time_no_image_is_embedded_again(capsys, folder, tmp_path):
    given = (folder / "run", "--reference", folder / "reference", "--features", folder / "clip")
    _, first, err = run(capsys, *given, "--cache", tmp_path / "kept")
    assert "features:" in err
    code, second, err = run(capsys, *given, "--cache", tmp_path / "kept")
    assert (code, second) == (0, first)
    assert "features:" not in err


def test_the_scenes_are_a_reference_of_the_embedded_clip(capsys, folder):
    code, out, err = run(capsys, folder / "run", "--reference", "scenes")
    assert code == 0, err
    assert out.startswith("reference: scenes, 20,000 images\nfeatures: embedded, ")
    assert "KID, CMMD and MIND need the reference's images" in err
    assert out.splitlines()[-1].split()[3].startswith(">"), "8 images of 128 features"
    assert "> marks a bias from fewer images than features" in err


BAD = {
    "no reference": (["{}/run"], "--reference"),
    "no run": (["{}/nowhere", "--reference", "scenes"], "holds no run"),
    "no result": (["{}/empty", "--reference", "scenes"], "has no result yet"),
    "no folder": (["{}/run", "--reference", "{}/nowhere"], "neither a folder of images nor"),
    "one image": (["{}/run", "--reference", "{}/one"], "holds 1 images"),
    "no clip": (["{}/run", "--reference", "scenes", "--features", "{}/x"], "name 'embedded'"),
    "other clip": (
        ["{}/run", "--reference", "scenes", "--features", "{}/clip"],
        "those of the embedded CLIP",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(capsys, folder, case):
    arguments, words = BAD[case]
    code, out, err = run(capsys, *(argument.format(folder) for argument in arguments))
    assert (code, out) == (2, "")
    assert words in err
    assert len([line for line in err.splitlines() if line.startswith("safelatent: ")]) == 1
