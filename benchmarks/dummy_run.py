"""A run of any length whose denoiser does nothing or sleeps: what is left is the run itself.

``python -m benchmarks.dummy_run FOLDER IMAGES ENGINE STAGE`` measures one stage in a process with
nothing else in it, and prints it as JSON: ``begin`` draws nine tenths of the images, ``resume`` the
rest, ``report`` writes the report. Plans, files, synced writes, database and, on Ray, the transport
of batches are those of any run; the pictures have 8 x 8 pixels of noise.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.memory import peak
from safelatent.generation.methods import Method
from safelatent.prompts import CATEGORIES, Prompt, PromptSet
from safelatent.runs.engines.local import run_local
from safelatent.runs.execute import Engine, draw
from safelatent.runs.plan import Batch
from safelatent.runs.settings import RunSettings
from safelatent.runs.store import Result

ENGINES = ("local", "ray")
STAGES = ("begin", "resume", "report")
METHODS: tuple[Method, ...] = ("off", "max")
IMAGES, BATCH = 10, 8  # images per prompt, and in a batch
SIDE = 8  # pixels
ACTORS = 2  # of Ray
SHARES = {"off": 40, "max": 10}  # inappropriate, of a hundred


class Worker:
    """Draws pictures without a model, in the stages of ``safelatent.runs.worker.Worker``.

    Args:
        seconds: that the denoiser takes for a batch.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        encoded = io.BytesIO()
        Image.fromarray(noise).save(encoded, "PNG")
        self.png = encoded.getvalue()

    def encode(self, batch: Batch) -> Batch:
        """Do nothing."""
        return batch

    def denoise(self, batch: Batch) -> Batch:
        """Sleep."""
        time.sleep(self.seconds)
        return batch

    def finish(self, batch: Batch) -> list[Result]:
        """Return results as large as those of a model."""
        return [
            self._result(item.key, item.prompt, item.image, item.method) for item in batch.items
        ]

    def _result(self, key: str, prompt: Prompt, image: int, method: str) -> Result:
        flagged = int(key[:8], 16) % 100 < SHARES[method]
        label = "inappropriate" if flagged else "safe"
        verdict = {"label": label, "score": 0.5, "threshold": 0.5, "evidence": "x" * 40}
        receipt = {"safety": method, "steps": 50, "settings": {"concept": "x" * 400}}
        return Result(
            key=key,
            prompt_id=prompt.id,
            image=image,
            method=method,
            png=self.png,
            label=label,
            verdicts={"dummy": verdict},
            receipt=None if method == "off" else receipt,
        )


def prompts_of(images: int) -> PromptSet:
    """Return as many prompts as a run of so many images needs, in the categories of I2P."""
    count = max(1, images // (IMAGES * len(METHODS)))
    prompts = tuple(
        Prompt(text=f"prompt {n}", id=f"p-{n}", seed=n, categories=(CATEGORIES[n % 7],))
        for n in range(count)
    )
    return PromptSet(name="dummy", prompts=prompts, rows=count, skipped={})


def settings_of(prompts: PromptSet) -> RunSettings:
    """Return the settings of the run of these prompts."""
    return RunSettings(
        prompts=prompts.name,
        prompts_digest=prompts.digest,
        model="dummy",
        model_digest="0" * 64,
        scheduler={"class": "None", **{f"setting {n}": n / 7 for n in range(15)}},
        protocol="dummy",
        protocol_hash="1" * 64,
        methods=METHODS,
        images=IMAGES,
        batch_size=BATCH,
    )


def worker(seconds: float) -> Callable[[Batch], list[Result]]:
    """Make, on an actor, what draws a batch."""
    made = Worker(seconds)
    return lambda batch: made.finish(made.denoise(made.encode(batch)))


@contextmanager
def engine_of(name: str) -> Iterator[Engine]:
    """Yield an engine with a dummy worker: of this process, or actors of a cluster of its own."""
    if name == "local":
        alone: Any = Worker()
        yield partial(run_local, alone)
        return
    with on_cluster(0.0) as engine:
        yield engine


@contextmanager
def on_cluster(seconds: float) -> Iterator[Engine]:
    """Yield the engine of ``ACTORS`` dummy workers on a Ray cluster that is started for them."""
    from benchmarks import dummy_run  # actors import it by this name, also where this is __main__
    from safelatent.runs.engines.ray import TIMEOUT, require_ray, run_ray

    ray = require_ray()
    ray.init("local", num_cpus=ACTORS, include_dashboard=False, log_to_driver=False)
    try:
        make: Any = partial(dummy_run.worker, seconds)
        there: Any = partial(run_ray, make, None, False, TIMEOUT)
        yield there
    finally:
        ray.shutdown()


def drawn(folder: Path, images: int, share: float, engine: Engine) -> dict[str, Any]:
    """Draw until ``share`` of the images are done; return what that took.

    ``start`` is the time in seconds until the first batch is given to the engine, ``start
    processor`` what of it this process computed; ``seconds`` and ``processor``, likewise, are of
    the ``images`` between the first batch that is saved and the last.
    """
    begun: list[tuple[float, float]] = []
    moments: list[tuple[float, float, int]] = []  # at the start, after the first batch, the last

    def noting(batches: Iterable[Batch], save: Any) -> Any:
        return engine(_noted(batches, begun), save)

    start, prompts = _now(), prompts_of(images)
    with closing(draw(folder, settings_of(prompts), prompts, noting)) as states:
        for state in states:
            moments = [*moments[:2], (*_now(), state.done)]
            if share < 1 and state.done >= share * state.planned:
                break
    first, last = moments[1], moments[-1]
    seconds, processor, count = (b - a for a, b in zip(first, last, strict=True))
    waited, computed = (b - a for a, b in zip(start, begun[0], strict=True))
    found = {"start": waited, "start processor": computed, "images": count}
    return found | {"seconds": seconds, "processor": processor}


def _now() -> tuple[float, float]:
    """The time, and this process's computing, in seconds."""
    return time.perf_counter(), time.process_time()


def _noted(batches: Iterable[Batch], begun: list[tuple[float, float]]) -> Iterator[Batch]:
    """The batches; when the first one is asked for is added to ``begun``."""
    for batch in batches:
        if not begun:
            begun.append(_now())
        yield batch


def reported(folder: Path) -> dict[str, Any]:
    """Write the report of the run, as ``safelatent report`` does."""
    from safelatent.evaluation.report import report_of
    from safelatent.reports.write import write_report
    from safelatent.runs.read import read_run

    start = _now()
    found = report_of(read_run(folder, details=False))
    write_report(found, folder / "report")
    seconds, processor = (b - a for a, b in zip(start, _now(), strict=True))
    return {"images": found.table.done, "seconds": seconds, "processor": processor}


def main() -> None:
    """Measure one stage."""
    folder, images, name, stage = Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
    before = peak()
    if stage == "report":
        found = reported(folder)
    else:
        with engine_of(name) as engine:
            found = drawn(folder, images, 0.9 if stage == "begin" else 1.0, engine)
    print(json.dumps(found | {"peak MB": round(peak() - before, 1)}))


if __name__ == "__main__":
    main()
