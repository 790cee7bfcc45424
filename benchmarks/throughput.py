"""What a run costs beside its denoiser, how it grows with its length, and what Ray adds.

On the embedded model, the share of a run's time that the denoiser alone would take. On a dummy
denoiser, times and memory of runs up to 100,000 images, on this process and on Ray, each stage in a
process of its own. Two Ray workers against one of this process. Writes its part of speed.md and
speed.json after every step; the same command resumes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks import dummy_run
from benchmarks.speed_options import add_options, resumed, settled
from benchmarks.speed_page import save
from benchmarks.timing import Run, ratio, rounds_of
from safelatent import load
from safelatent.cli.say import quiet_libraries
from safelatent.detectors import named_protocol
from safelatent.prompts import embedded_i2p
from safelatent.runs.engines.local import run_local
from safelatent.runs.execute import Engine, draw
from safelatent.runs.plan import RunPlan
from safelatent.runs.prepare import settings_of
from safelatent.runs.settings import RunRequest
from safelatent.runs.worker import Worker

METHODS = ("off", "max")
ALONE, RUN = "denoiser alone", "run"
SLEEP = 0.2  # seconds of the dummy denoiser, per batch
WORK = Path("out/throughput")  # of the runs with a dummy denoiser; removed after each
PARTS = ("busy", "growth", "ray")
QUICK = {"steps": 16, "images": 8, "rounds": 1, "batches": [2, 4], "lengths": [200, 1000]}
WHOLE = {"steps": 50, "images": 64, "rounds": 5, "batches": [1, 4, 8, 16, 32]}
WHOLE |= {"lengths": [10_000, 30_000, 100_000]}


def busy(
    kept: dict[str, Any], batches: list[int], images: int, steps: int, rounds: int, deadline: float
) -> Iterator[None]:
    """Find the best batch size, then time a run and its denoiser alone with it, round by round.

    Args:
        kept: what is known so far; it grows, and may be saved at every yield.
        images: by each of two methods.
    """
    pipe = load("embedded")
    pipe.set_progress_bar_config(disable=True)
    alone: dict[str, float] = kept.setdefault("seconds per image by batch", {})
    for batch in tqdm(batches, desc="batch sizes", leave=False):
        if str(batch) not in alone:
            alone[str(batch)] = round(denoising(pipe, batch, max(batch, min(images, 8)), steps), 4)
            yield
    best = kept["batch"] = int(min(alone, key=alone.__getitem__))
    runs = both(pipe, best, images, steps)
    kept |= {"images": images * len(METHODS), "steps": steps}
    times = kept.setdefault("seconds", {name: [] for name in runs})
    if min(map(len, times.values())) < rounds:
        for run in both(pipe, best, best, 2).values():
            run()  # nothing is timed for the first time
    for _ in tqdm(rounds_of(runs, times, rounds, deadline), desc="rounds", leave=False):
        kept["busy"] = ratio(times, ALONE, RUN).__dict__
        yield


def denoising(pipe: Any, batch: int, images: int, steps: int) -> float:
    """Return the seconds per image of the denoiser alone, after a first call."""
    once = both(pipe, batch, images, steps)[ALONE]
    once()
    start = time.perf_counter()
    once()
    return (time.perf_counter() - start) / (images * len(METHODS))


def both(pipe: Any, batch: int, images: int, steps: int) -> dict[str, Run]:
    """Return a run, and its denoiser alone on the same batches."""
    prompts, protocol = embedded_i2p().limit(images), named_protocol("embedded")
    request = RunRequest(prompts=prompts, methods=METHODS, images=1, steps=steps, batch_size=batch)
    settings = settings_of(request, prompts, pipe, protocol)
    worker = Worker(pipe, protocol, settings)
    encoded = [worker.encode(one) for one in RunPlan(settings=settings, prompts=prompts)]

    def alone() -> None:
        for one in encoded:
            worker.denoise(one)

    def run() -> None:
        in_new_folder(
            lambda folder: list(draw(folder, settings, prompts, partial(run_local, worker)))
        )

    return {ALONE: alone, RUN: run}


def grown(kept: dict[str, Any], lengths: list[int], engines: list[str]) -> Iterator[None]:
    """Find what every stage of runs of so many images takes, by engine and length.

    Args:
        kept: what is known so far; it grows, and may be saved at every yield.
    """
    every = [(name, length) for length in lengths for name in engines]
    for name, length in tqdm(every, desc="runs", leave=False):
        stages = kept.setdefault(name, {}).setdefault(str(length), {})
        folder = WORK / name / str(length)
        for stage in dummy_run.STAGES:
            if stage in stages:
                continue
            if stage == "begin":
                shutil.rmtree(folder, ignore_errors=True)
            call = [sys.executable, "-W", "ignore", "-m", "benchmarks.dummy_run"]
            call += [str(folder), str(length), name, stage]
            done = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
            stages[stage] = json.loads(done.stdout.splitlines()[-1])
            yield
        shutil.rmtree(folder, ignore_errors=True)


def compared(kept: dict[str, Any], images: int) -> Iterator[None]:
    """Find what two workers on Ray lose, unless it is known."""
    if not kept:
        kept |= on_ray(images, SLEEP)
        yield


def on_ray(images: int, seconds: float) -> dict[str, Any]:
    """Return how many images per second are drawn here, and by the workers of a Ray cluster."""
    workers, alone = dummy_run.ACTORS, dummy_run.Worker(seconds)
    here = rate(images, partial(run_local, alone))  # pyright: ignore[reportArgumentType]
    with dummy_run.on_cluster(seconds) as engine:
        there = rate(workers * images, engine)
    found = {"workers": workers, "seconds per batch": seconds, "here": here, "on Ray": there}
    return found | {"loss": 1 - there / (workers * here)}


def rate(images: int, engine: Engine) -> float:
    """Return how many images per second a run saves after its first batches."""
    prompts = dummy_run.prompts_of(images)

    def states(folder: Path) -> float:
        seen: list[tuple[float, int]] = []
        with closing(draw(folder, dummy_run.settings_of(prompts), prompts, engine)) as drawing:
            seen.extend((time.perf_counter(), state.done) for state in drawing)
        (start, first), (end, last) = seen[dummy_run.ACTORS], seen[-1]
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
    add("--minutes", type=float, default=30, help="no round of part busy ends after so many")
    add("--images", type=int, help="part busy: images by each of two methods")
    add("--batches", type=int, nargs="+", help="part busy: batch sizes, of which the best is taken")
    add("--lengths", type=int, nargs="+", help="part growth: images of a run")
    add("--engines", nargs="+", choices=dummy_run.ENGINES, default=list(dummy_run.ENGINES))
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    return settled(parser, QUICK, WHOLE)


def command(asked: argparse.Namespace) -> str:
    """Return the command that measures the same."""
    names = ("steps", "images", "rounds", "threads", "batches", "lengths", "engines", "parts")
    values = {name: getattr(asked, name) for name in names}
    given = [
        f"--{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in values.items()
    ]
    return " ".join(["python -m benchmarks.throughput", *["--quick"] * asked.quick, *given])


def main() -> None:
    """Measure, print and save."""
    asked = options()
    torch.set_num_threads(asked.threads)
    quiet_libraries()
    extent = [asked.quick, asked.steps, asked.images]
    found = resumed(asked.out, "throughput", extent, command(asked))
    deadline = time.monotonic() + 60 * asked.minutes
    known = {part: found.setdefault(part, {}) for part in asked.parts}
    steps = {
        "busy": lambda kept: busy(
            kept, asked.batches, asked.images, asked.steps, asked.rounds, deadline
        ),
        "growth": lambda kept: grown(kept, asked.lengths, asked.engines),
        "ray": lambda kept: compared(kept, min(1_600, asked.lengths[-1])),
    }
    for part, kept in known.items():
        for _ in steps[part](kept):
            save(asked.out, "throughput", found)
        tqdm.write(json.dumps({part: kept}))
    print(save(asked.out, "throughput", found))


if __name__ == "__main__":
    main()
