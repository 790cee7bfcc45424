"""The command: one line per method, notes on standard error, one line for bad input."""

from __future__ import annotations

import re
import warnings
from unittest.mock import patch

import pytest
import torch

from safelatent.cli import main
from safelatent.evaluation.fidelity import stored_fidelity
from tests.evaluation.made_runs import PROMPTS, made_run
from tests.features.tiny_clip import save_clip, save_pictures


class Small(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fidelity")
    made_run(folder / "run")
    made_run(folder / "empty", lambda _: " ")
    save_clip(folder / "clip")
    save_pictures(folder / "reference", 9)
    save_pictures(folder / "one", 1)
    save_pictures(folder / "broken", 3)[1].write_bytes(b"no picture")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Small()).save(str(folder / "small.pt"))
    torch.save({}, folder / "weights.pth")
    return folder


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main(["bench", "fidelity", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_folder_gives_every_number(capsys, folder):
    given = (folder / "run", "--reference", folder / "reference", "--features", folder / "clip")
    code, out, err = run(capsys, *given)
    assert code == 0, err
    head, features, comparable, titles, *lines = out.splitlines()
    assert head == f"reference: {folder / 'reference'}, 9 images"
    assert features.startswith(f"features: {folder / 'clip'}, ")
    assert re.fullmatch("comparable with: [0-9a-f]{64}", comparable)
    assert titles.split()[:5] == ["method", "n", "FID", "bias", "KID"]
    assert [line.split()[0] for line in lines] == ["off", "medium", "max"]
    assert [line.split()[1] for line in lines] == ["7", "8", "8"]
    assert "FID is left out below 8 images" in err
    assert "features: 9 of 9 images\n" in err
    assert "features: 1 of 1 images of off\n" in err, "all of its images are the same"
    assert "features: 1 of 1 images of max\n" in err
    off, medium, _ = lines
    assert off.split()[2:4] == ["–", "–"]
    assert "±" in off
    assert off.split()[-3:] == ["–", "–", "–"]
    assert "~" in medium
    assert medium.split()[-3:-1] == ["–", "0.200"]
    assert "the change of the latents is left out: 'no model' is not on this machine" in err
    assert f"next: safelatent report {folder / 'run'} --table 2" in err
    assert stored_fidelity(folder / "run").images == 9


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
    first = "reference: scenes, 20,000 images, 1,000 for KID, CMMD and MIND\nfeatures: embedded, "
    assert out.startswith(first)
    assert "±" in out.splitlines()[-1]
    assert out.splitlines()[-1].split()[3].startswith(">"), "8 images of 128 features"
    assert "> marks a bias from fewer images than features" in err


def test_a_network_of_ones_own_gives_fid(capsys, folder):
    given = (folder / "run", "--reference", folder / "reference", "--features", folder / "clip")
    own = ("--inception", folder / "small.pt", "--own-inception")
    code, out, err = run(capsys, *given, *own)
    assert code == 0, err
    assert out.splitlines()[1].startswith(f"features: {folder / 'small.pt'}, ")
    assert out.splitlines()[2].startswith(f"CLIP: {folder / 'clip'}, ")
    assert "not of the Inception network that published values are of" in err


def test_numbers_that_cannot_be_kept_are_printed_all_the_same(capsys, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safelatent.evaluation.fidelity.write_whole", full)
    code, out, err = run(capsys, folder / "run", "--reference", "scenes")
    assert code == 0
    assert "medium" in out
    assert "fidelity.json cannot be written (No space left on device)" in err


def test_the_numbers_are_saved_before_a_closed_pipe_ends_the_printing(tmp_path):
    made_run(tmp_path / "run")
    with patch("safelatent.cli.bench_fidelity._show", side_effect=BrokenPipeError):
        main(["bench", "fidelity", str(tmp_path / "run"), "--reference", "scenes"])
    assert stored_fidelity(tmp_path / "run").images == 20_000


def test_an_error_that_two_images_do_not_give_is_a_dash(capsys, tmp_path):
    made_run(tmp_path / "run", prompts=PROMPTS[:1])
    code, out, err = run(capsys, tmp_path / "run", "--reference", "scenes")
    assert code == 0, err
    off = out.splitlines()[4]
    assert re.match(r"off +2 +– +– +-?[0-9.]+ ± – ", off), off


def test_the_command_that_converts_says_what_is_next(capsys, folder, tmp_path):
    target = tmp_path / "inception.safetensors"
    assert main(["convert-inception", str(folder / "weights.pth"), str(target)]) == 2
    assert "pytorch-fid's weights have 6726825d0af5" in capsys.readouterr().err
    with patch("safelatent.features.convert_inception", lambda _, where: where):
        assert main(["convert-inception", str(folder / "weights.pth"), str(target)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{target}\n"
    assert f"--inception {target}" in captured.err


WITH_NETWORK = ("--reference", "{}/reference", "--inception")
BAD = {
    "no reference": (["{}/run"], "--reference"),
    "no run": (["{}/nowhere", "--reference", "scenes"], "holds no run"),
    "a file as cache": (
        ["{}/run", "--reference", "scenes", "--cache", "{}/weights.pth"],
        "weights.pth is not a folder; give another place",
    ),
    "no result": (["{}/empty", "--reference", "scenes"], "has no result yet"),
    "no folder": (["{}/run", "--reference", "{}/nowhere"], "neither a folder of images nor"),
    "one image": (["{}/run", "--reference", "{}/one"], "holds one image"),
    "no clip": (["{}/run", "--reference", "scenes", "--features", "{}/x"], "name 'embedded'"),
    "other clip": (
        ["{}/run", "--reference", "scenes", "--features", "{}/clip"],
        "those of the embedded CLIP",
    ),
    "broken image": (["{}/run", "--reference", "{}/broken"], "1 of 3 images cannot be used"),
    "no image": (["{}/run", "--reference", "{}/clip"], "holds no image"),
    "no network": (["{}/run", *WITH_NETWORK, "{}/nowhere.pt"], "nowhere.pt' is not a file"),
    "unknown network": (["{}/run", *WITH_NETWORK, "{}/small.pt"], "has the unknown hash"),
    "pickle": (["{}/run", *WITH_NETWORK, "{}/weights.pth"], "safelatent convert-inception"),
    "own nothing": (["{}/run", "--reference", "scenes", "--own-inception"], "give that too"),
    "scenes by another network": (
        ["{}/run", "--reference", "scenes", "--inception", "{}/small.pt", "--own-inception"],
        "those of the embedded CLIP",
    ),
    "engine": (["{}/run", "--reference", "scenes", "--engine", "rey"], "did you mean 'ray'"),
    "address": (["{}/run", "--reference", "scenes", "--address", "x"], "needs ray"),
    "batch": (["{}/run", "--reference", "scenes", "--batch-size", "0"], "batch is 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(capsys, folder, case):
    arguments, words = BAD[case]
    code, out, err = run(capsys, *(argument.format(folder) for argument in arguments))
    assert (code, out) == (2, "")
    assert words in err
    assert len([line for line in err.splitlines() if line.startswith("safelatent: ")]) == 1
