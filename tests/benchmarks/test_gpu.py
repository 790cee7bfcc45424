"""``make gpu``: what it says without CUDA, its page, and a rehearsal on the CPU."""

from __future__ import annotations

import json
import warnings

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_measure import TOLERANCES, called, distance, methods, timed
from benchmarks.gpu_page import page
from benchmarks.random_models import MODELS, denoiser


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
    """On the CPU, which stands for CUDA, with one model and one step."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu"])
    monkeypatch.setattr("benchmarks.gpu_measure.MODELS", {"SD 1.5": MODELS["SD 1.5"]})
    monkeypatch.setattr("benchmarks.gpu_measure.BATCHES", (1,))
    monkeypatch.setattr("benchmarks.gpu_measure.STRENGTHS", ("max",))
    monkeypatch.setattr("benchmarks.gpu_measure.FIRST_STEPS", 2)
    monkeypatch.setattr("benchmarks.gpu_measure.PARITY_STEPS", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers calls its own Safe pipeline deprecated
        gpu.main()
    found = json.loads(gpu.JSON.read_text())
    assert {row["precision"] for row in found["parity"]} == set(TOLERANCES)
    assert all(row["passed"] for row in found["parity"])
    found_methods = [row["method"] for row in found["speed"]]
    assert found_methods == ["plain guidance", "guard, max", "diffusers Safe, medium"]
    assert all(row["seconds"] > 0 for row in found["speed"])
    assert not gpu.PAGE.exists(), "a rehearsal is no measurement of a GPU"
    text = page(found | {"device": "Example GPU"})
    assert "one Example GPU" in text
    assert text.count("| SD 1.5 |") == len(found["parity"]) + len(found["speed"])


def test_what_had_no_time_is_left_out_of_the_page():
    row = {"model": "SDXL", "pixels": 1024, "batch": 8, "method": "guard, max", "left out": True}
    assert "no time left" in page({"device": "X", "torch": "2", "parity": [], "speed": [row]})


def test_the_peer_is_timed_where_it_exists():
    assert "diffusers Safe, medium" in methods("SD 1.5")
    assert "diffusers Safe, medium" not in methods("SDXL")
    assert called("plain guidance", calls := []) is calls


def test_a_shorter_call_goes_before_the_timed_one_and_one_counts_waits():
    steps = []
    found = timed(lambda num_inference_steps: steps.append(num_inference_steps), "cpu", 50)
    assert steps == [16, 50, 16]
    assert (found["peak GiB"], found["waits a step"]) == (0.0, 0.0)
