"""The stages of a run are measured as they say; no time is asserted."""

from __future__ import annotations

import math
import subprocess
from functools import partial

from benchmarks import dummy_run, throughput
from benchmarks.speed_page import page
from safelatent.runs import read_run
from safelatent.runs.engines.local import run_local
from tests import tiny

IMAGES = 80


def test_the_stages_of_a_run(tmp_path):
    with dummy_run.engine_of("local") as engine:
        begin = dummy_run.drawn(tmp_path, IMAGES, 0.8, engine)
        assert begin["images"] == 64 - dummy_run.BATCH, "all after the first batch"
        resume = dummy_run.drawn(tmp_path, IMAGES, 1.0, engine)
    assert resume["images"] == 16 - dummy_run.BATCH
    assert min(begin["processor"], begin["seconds"], begin["start"], resume["start"]) > 0
    found = read_run(tmp_path)
    assert len(found.rows) == found.planned == IMAGES
    assert {row.label for row in found.rows} == {"safe", "inappropriate"}
    assert dummy_run.reported(tmp_path)["images"] == IMAGES
    assert (tmp_path / "report/report.html").exists()


def test_the_denoiser_alone_and_a_run_denoise_the_same(monkeypatch):
    denoised: list[int] = []
    real = throughput.Worker.denoise

    def counting(self, encoded):
        denoised.append(len(encoded.batch.items))
        return real(self, encoded)

    monkeypatch.setattr(throughput.Worker, "denoise", counting)
    pipe = tiny.quiet(tiny.pipeline())
    runs = throughput.both(pipe, 2, 3, 2)
    found = []
    for run in runs.values():
        run()
        found.append(denoised.copy())
        denoised.clear()
    assert found[0] == found[1] == [2, 2, 1, 1]


def test_the_best_batch_size_is_that_of_the_denoiser(monkeypatch):
    monkeypatch.setattr(throughput, "load", lambda _: tiny.quiet(tiny.pipeline()))
    found: dict = {}
    steps = throughput.busy(found, [1, 2], 2, 2, 2, math.inf)
    for _ in range(3):
        next(steps)
    steps.close()  # killed after the first of two rounds
    each = dict(found["seconds per image by batch"])
    assert found["batch"] == int(min(each, key=each.get))
    assert found["images"] == 4
    assert {len(seconds) for seconds in found["seconds"].values()} == {1}
    assert list(throughput.busy(found, [1, 2], 2, 2, 2, math.inf)) == [None], "the second round"
    assert {len(seconds) for seconds in found["seconds"].values()} == {2}
    assert found["seconds per image by batch"] == each


def test_growth_is_measured_once_stage_by_stage(monkeypatch, tmp_path):
    calls: list[list[str]] = []

    def run(call, **_):
        calls.append(call[-4:])
        return subprocess.CompletedProcess(call, 0, f'{{"images": {call[-3]}}}\n')

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    found: dict = {"local": {"200": {"begin": {"images": 180}}}}
    assert len(list(throughput.grown(found, [200, 400], ["local"]))) == 5
    assert [(length, stage) for _, length, _, stage in calls] == [
        *(("200", stage) for stage in ("resume", "report")),
        *(("400", stage) for stage in dummy_run.STAGES),
    ]
    assert found["local"]["400"]["report"] == {"images": 400}
    assert list(throughput.grown(found, [200, 400], ["local"])) == []


def test_a_rate_is_of_a_run_that_is_under_way():
    assert throughput.rate(IMAGES, partial(run_local, dummy_run.Worker(0.001))) > 0
    batch = dummy_run.prompts_of(IMAGES)
    assert len(batch) * dummy_run.IMAGES * len(dummy_run.METHODS) == IMAGES


def test_the_page_has_what_was_measured():
    stage = {"start": 0.25, "images": 90, "seconds": 0.9, "processor": 0.09}
    stage |= {"start processor": 0.02, "peak MB": 3.0}
    grown = {"begin": stage, "resume": stage | {"start": 0.5}, "report": stage | {"peak MB": 7.0}}
    longer = {"begin": stage | {"processor": 0.18, "peak MB": 4.0}}
    share = {"median": 0.91, "least": 0.9, "greatest": 0.95}
    found = {
        "machine": {"cores": 2, "processor": "X", "load before": 0.1, "threads": 1}
        | {"torch": "2", "diffusers": "0"},
        "commands": ["python -m benchmarks.throughput"],
        "busy": {"busy": share, "seconds per image by batch": {"4": 0.5}, "images": 8}
        | {"steps": 50, "batch": 4},
        "growth": {"ray": {"1000": grown, "2000": longer}},
        "ray": {"workers": 2, "on Ray": 76.0, "here": 40.0, "seconds per batch": 0.2, "loss": 0.05},
    }
    text = page({"throughput": found})
    assert "91.0 % (90.0 % to 95.0 %)" in text
    begun, resumed = "0.25 s (0.02) | 10.0 ms (1.00) | 1.00", "0.50 s (0.02) | 3"
    assert f"| ray | 1,000 | {begun} | {resumed} | 0.90 s (0.09) | 7 |" in text
    assert "| ray | 2,000 | 0.25 s (0.02) | 10.0 ms (2.00) | 2.00 |  | 4 |  |  |" in text
    assert "5.0 % are lost per image" in text
