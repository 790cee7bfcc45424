"""``make gpu``: what it says without CUDA, its page, and a rehearsal on the CPU."""

from __future__ import annotations

import json
import math
import warnings

import pytest
import torch

from benchmarks import gpu, gpu_measure
from benchmarks.gpu_measure import (
    LATE,
    REHEARSED,
    TIMED,
    TOLERANCES,
    Allotment,
    distance,
    parity,
    speed,
    timed,
)
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
    # the first call of a step's length decides how many are timed, and only one image's are counted
    assert {row["steps timed"] for row in found["speed"]} == {4}
    assert all("waits a step" in row for row in found["speed"])
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
    lost = {"model": "SDXL", "precision": "float16", "way": "CPU offload", "tolerance": 2e-2}
    lost |= {"left out": "failed: no accelerate", "passed": False}
    text = page({"device": "X", "torch": "2", "parity": [lost], "speed": [*late, *refused]})
    assert "| SDXL | float16 | CPU offload | failed: no accelerate | 2e-02 |" in text
    assert "| all | no time left |" in text
    assert "| guard, strong, plan fast | refused: the warm-up is too long |" in text


class Sampler:
    """Takes a second a step, by a clock that stands still otherwise."""

    def __init__(self, monkeypatch):
        self.now, self.steps = 0.0, []
        for name in ("monotonic", "perf_counter"):
            monkeypatch.setattr(f"benchmarks.gpu_measure.time.{name}", lambda: self.now)

    def __call__(self, num_inference_steps, prompt):
        self.now += num_inference_steps
        self.steps.append(num_inference_steps)


@pytest.mark.parametrize(
    ("batch", "allotment", "steps"),
    [(1, 1000, [16, 50]), (1, 46, [16, 30]), (8, 24, [4, 20]), (8, 5, [4, 6])],
)
def test_as_many_steps_are_timed_as_the_allotment_suffices_for(
    monkeypatch, batch, allotment, steps
):
    """After a shorter call, which tells how long a step takes; never fewer than six."""
    call, allotted = Sampler(monkeypatch), Allotment(end=10 * allotment, rows=10)
    found = timed(call, "cpu", 50, allotted, prompt=["a dog"] * batch)
    assert call.steps == steps
    assert found["seconds"] == pytest.approx(50)
    assert found["steps timed"] == steps[1]
    assert ("waits a step" in found) == (batch == 1)


def test_what_would_end_too_late_is_not_begun(monkeypatch):
    call = Sampler(monkeypatch)
    for step, end, begun in ((0.0, 9.5, [4]), (1.0, 3.5, [])):
        call.now, call.steps = 0.0, []
        allotment = Allotment(end=end, rows=1, step=step)
        assert timed(call, "cpu", 50, allotment, prompt=["a dog"] * 8) == {"left out": LATE}
        assert call.steps == begun


def test_all_of_it_ends_within_its_minutes_whatever_a_step_takes(monkeypatch):
    """On a card on which every step of every model takes a second, and on one a hundredth."""
    for share in (1.0, 0.01):
        call = Sampler(monkeypatch)
        slow = call.__call__

        def draws(num_inference_steps, prompt, slow=slow, share=share, **_):
            slow(num_inference_steps * share * len(prompt), prompt)

        monkeypatch.setattr(gpu_measure, "made", lambda *_, **__: None)
        monkeypatch.setattr(gpu_measure, "methods", lambda _, d=draws: dict.fromkeys(TIMED, d))
        rows = list(speed("cpu", 240.0, small=False))
        assert call.now <= 240 + gpu_measure.WARMING_STEPS  # of a model not known yet
        timed_rows = [row for row in rows if "seconds" in row]
        assert len(timed_rows) == len(rows) if share < 1 else len(timed_rows) >= 6


def test_a_way_that_fails_costs_no_other(monkeypatch):
    monkeypatch.setattr(gpu_measure, "MODELS", {"SD 1.5": MODELS["SD 1.5"]})
    monkeypatch.setattr(gpu_measure, "PARITY_STEPS", 2)
    run, failing = gpu_measure._in_way, iter([RuntimeError("no\nmemory")])

    def in_way(*given):
        for error in failing:
            raise error
        return run(*given)

    monkeypatch.setattr(gpu_measure, "_in_way", in_way)
    first, *rest = parity("cpu", math.inf)
    assert (first["left out"], first["passed"]) == ("failed: no memory", False)
    assert rest
    assert all(row["passed"] for row in rest)
    assert {row["left out"] for row in parity("cpu", -math.inf)} == {LATE}
