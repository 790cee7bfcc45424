"""What a run costs beside its denoiser, how it grows with its length, and what Ray adds.

On the embedded model, the share of a run's time that the denoiser alone would take. On a dummy
denoiser, times and memory of runs up to 100,000 images, each stage in a process of its own. Two Ray
workers against one of this process. Writes its part of speed.md and speed.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks import dummy_run
from benchmarks.speed_options import add_options, settled
from benchmarks.speed_page import save
from benchmarks.timing import Run, Times, machine, ratio, rounds_of
from safelatent import load
from safelatent.cli.say import quiet_libraries
from safelatent.detectors import named_protocol
from safelatent.prompts import embedded_i2p
from safelatent.runs.engines.local import run_local
from safelatent.runs.execute import draw
from safelatent.runs.plan import Plan
from safelatent.runs.prepare import settings_of
from safelatent.runs.settings import RunRequest
from safelatent.runs.worker import Worker

METHODS = ("off", "max")
ALONE, RUN = "denoiser alone", "run"
SLEEP = 0.2  # seconds of the dummy denoiser, per batch
RAY_WORKERS = 2
QUICK = {"steps": 16, "images": 8, "rounds": 1, "batches": [2, 4], "lengths": [200, 1000]}
WHOLE = {"steps": 50, "images": 64, "rounds": 5, "batches": [1, 4, 8, 16, 32]}
WHOLE |= {"lengths": [1_000, 10_000, 100_000]}


def busy(batches: list[int], images: int, steps: int, rounds: int, deadline: float) -> Any:
    """Return the best batch size, and the times of a run and of its denoiser alone with it.

    Args:
        images: by each of two methods.
    """
    pipe = load("embedded")
    pipe.set_progress_bar_config(disable=True)
    alone: dict[int, float] = {}
    for batch in tqdm(batches, desc="batch sizes", leave=False):
        once = both(pipe, batch, max(batch, min(images, 8)), steps)[ALONE]
        start = time.perf_counter()
        once()
        alone[batch] = (time.perf_counter() - start) / (max(batch, min(images, 8)) * len(METHODS))
    best = min(alone, key=alone.__getitem__)
    runs = both(pipe, best, images, steps)
    for run in runs.values():
        run()
    times: Times = {name: [] for name in runs}
    for _ in tqdm(rounds_of(runs, times, rounds, deadline), desc="rounds", leave=False):
        pass
    each = {str(batch): round(seconds, 4) for batch, seconds in alone.items()}
    found = {"batch": best, "seconds per image by batch": each, "seconds": times, "steps": steps}
    share = ratio(times, ALONE, RUN)
    return found | {"images": images * len(METHODS), "busy": share.__dict__}


def both(pipe: Any, batch: int, images: int, steps: int) -> dict[str, Run]:
    """Return a run, and its denoiser alone on the same batches."""
    prompts, protocol = embedded_i2p().limit(images), named_protocol("embedded")
    request = RunRequest(prompts=prompts, methods=METHODS, images=1, steps=steps, batch_size=batch)
    settings = settings_of(request, prompts, pipe, protocol)
    worker = Worker(pipe, protocol, settings)
    encoded = [worker.encode(one) for one in Plan(settings=settings, prompts=prompts)]

    def alone() -> None:
        for one in encoded:
            worker.denoise(one)

    def run() -> None:
        in_new_folder(
            lambda folder: list(draw(folder, settings, prompts, partial(run_local, worker)))
        )

    return {ALONE: alone, RUN: run}


def grown(length: int) -> dict[str, Any]:
    """Return what every stage of a run of so many images took."""

    def stages(folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for stage in dummy_run.STAGES:
            call = [sys.executable, "-W", "ignore", "-m", "benchmarks.dummy_run"]
            call += [str(folder), str(length), stage]
            done = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
            found[stage] = json.loads(done.stdout.splitlines()[-1])
        return found

    return in_new_folder(stages)


def on_ray(images: int, seconds: float) -> dict[str, Any]:
    """Return how many batches per second are drawn here, and by two workers of a Ray cluster."""
    import ray

    from safelatent.runs.engines.ray import TIMEOUT, run_ray

    alone: Any = dummy_run.Worker(seconds)
    here = partial(run_local, alone)
    found = {"workers": RAY_WORKERS, "seconds per batch": seconds, "here": rate(images, here)}
    ray.init("local", num_cpus=RAY_WORKERS, include_dashboard=False, log_to_driver=False)
    try:
        make = partial(dummy_run.worker, seconds)
        there: Any = partial(run_ray, make, None, False, TIMEOUT)
        found["on Ray"] = rate(RAY_WORKERS * images, there)
    finally:
        ray.shutdown()
    return found | {"loss": 1 - found["on Ray"] / (RAY_WORKERS * found["here"])}


def rate(images: int, engine: Any) -> float:
    """Return how many images per second a run saves after its first batches."""
    prompts = dummy_run.prompts_of(images)

    def states(folder: Path) -> float:
        seen: list[tuple[float, int]] = []
        with closing(draw(folder, dummy_run.settings_of(prompts), prompts, engine)) as drawing:
            seen.extend((time.perf_counter(), state.done) for state in drawing)
        (start, first), (end, last) = seen[RAY_WORKERS], seen[-1]
        return (last - first) / (end - start)

    return in_new_folder(states)


def in_new_folder(measure: Callable[[Path], Any]) -> Any:
    """Call ``measure`` with a folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp())
    try:
        return measure(folder)
    finally:
        shutil.rmtree(folder)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    add_options(parser, "little of everything")
    add = parser.add_argument
    add("--minutes", type=float, default=30, help="for the rounds on the embedded model")
    add("--images", type=int, help="of the embedded model, by each of two methods")
    add("--batches", type=int, nargs="+", help="batch sizes of which the best is taken")
    add("--lengths", type=int, nargs="+", help="images of the runs with a dummy denoiser")
    add("--parts", nargs="+", choices=("busy", "growth", "ray"), default=["busy", "growth", "ray"])
    return settled(parser, QUICK, WHOLE)


def command(asked: argparse.Namespace) -> str:
    """Return the command that measures the same."""
    several = {name: " ".join(map(str, getattr(asked, name))) for name in ("lengths", "parts")}
    quick = " --quick" if asked.quick else ""
    return (
        f"python -m benchmarks.throughput{quick} --steps {asked.steps} --images {asked.images}"
        f" --rounds {asked.rounds} --threads {asked.threads} --lengths {several['lengths']}"
        f" --parts {several['parts']}"
    )


def main() -> None:
    """Measure, print and save."""
    asked = options()
    torch.set_num_threads(asked.threads)
    quiet_libraries()
    found: dict[str, Any] = {"machine": machine()}
    found["command"] = command(asked)

    def keep(part: str, value: Any) -> None:
        found[part] = value
        tqdm.write(json.dumps({part: value}))
        save(asked.out, "throughput", found)

    if "busy" in asked.parts:
        deadline = time.monotonic() + 60 * asked.minutes
        keep("busy", busy(asked.batches, asked.images, asked.steps, asked.rounds, deadline))
    if "growth" in asked.parts:
        lengths: dict[str, Any] = {}
        for length in tqdm(asked.lengths, desc="lengths"):
            lengths[str(length)] = grown(length)
            keep("growth", lengths)
    if "ray" in asked.parts:
        keep("ray", on_ray(min(1_600, asked.lengths[-1]), SLEEP))


if __name__ == "__main__":
    main()
