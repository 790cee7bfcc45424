"""``make gpu``: what it says without CUDA, its page, and a rehearsal on the CPU."""

from __future__ import annotations

import json
import math
import warnings

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_measure import LATE, REHEARSED, TIMED, TOLERANCES, distance, speed, timed
from benchmarks.gpu_page import page
from benchmarks.random_models import MODELS, denoiser
from safelatent.errors import NotGuardedError


def test_without_cuda_it_says_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu"])
    with pytest.raises(SystemExit) as caught:
        gpu.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"{gpu.NO_CUDA}\n"


def test_a_distance_is_a_share_of_what_is_wanted():
    wanted = torch.tensor([3.0, 4.0])
    assert distance(wanted * 1.1, wanted) == pytest.approx(0.1)
    assert distance(wanted.half(), wanted) == 0


def test_the_models_have_the_sizes_of_the_real_ones():
    """By counting what has no memory."""
    for name, millions in (("SD 1.5", 860), ("SDXL", 2567), ("SD3 medium", 2085)):
        stored = denoiser(name, "meta").state_dict()  # SD3's table of positions included
        count = sum(tensor.numel() for tensor in stored.values()) / 1e6
        assert count == pytest.approx(millions, rel=0.01), name


@pytest.mark.slow
def test_a_rehearsal_measures_everything(monkeypatch, tmp_path, capsys):
    """On the CPU, which stands for CUDA, with one model and few steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu"])
    monkeypatch.setattr("benchmarks.gpu_measure.MODELS", {"SD 1.5": MODELS["SD 1.5"]})
    monkeypatch.setattr("benchmarks.gpu_measure.BATCHES", (1,))
    monkeypatch.setattr("benchmarks.gpu_measure.FIRST_STEPS", 4)
    monkeypatch.setattr("benchmarks.gpu_measure.PARITY_STEPS", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers calls its own Safe pipeline deprecated
        gpu.main()
    found = json.loads(gpu.JSON.read_text())
    assert {row["precision"] for row in found["parity"]} == set(TOLERANCES)
    assert {row["way"] for row in found["parity"]} == set(REHEARSED)
    assert all(row["passed"] for row in found["parity"])
    assert [row["method"] for row in found["speed"]] == list(TIMED)
    assert all(row["seconds"] > 0 for row in found["speed"]), "none is refused"
    assert not gpu.PAGE.exists(), "a rehearsal is no measurement of a GPU"
    text = page(found | {"device": "Example GPU"})
    assert "one Example GPU" in text
    assert text.count("| SD 1.5 |") == len(found["parity"]) + len(found["speed"])


def test_what_had_no_time_or_was_refused_is_on_the_page_with_the_reason(monkeypatch):
    late = list(speed("cpu", 0.0, small=True))
    assert {row["left out"] for row in late} == {LATE}

    def refuses(*_, **__):
        raise NotGuardedError("the warm-up is too long")

    monkeypatch.setattr("benchmarks.gpu_measure.timed", refuses)
    monkeypatch.setattr("benchmarks.gpu_measure.MODELS", {"SDXL": MODELS["SDXL"]})
    refused = list(speed("cpu", math.inf, small=True))
    assert "diffusers Safe, medium" not in {row["method"] for row in refused}
    text = page({"device": "X", "torch": "2", "parity": [], "speed": [*late, *refused]})
    assert "| all | no time left |" in text
    assert "| guard, strong, plan fast | refused: the warm-up is too long |" in text


def test_a_shorter_call_goes_before_the_timed_one_and_one_counts_waits():
    steps = []
    found = timed(lambda num_inference_steps: steps.append(num_inference_steps), "cpu", 50)
    assert steps == [16, 50, 16]
    assert (found["peak GiB"], found["waits a step"]) == (0.0, 0.0)
