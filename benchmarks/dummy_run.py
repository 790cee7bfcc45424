"""A run of any length whose denoiser does nothing or sleeps: what is left is the run itself.

``python -m benchmarks.dummy_run FOLDER IMAGES STAGE`` measures one stage in a process with nothing
else in it, and prints it as JSON: ``begin`` draws nine tenths of the images, ``resume`` the rest,
``report`` writes the report.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from safelatent.generation.methods import Method
from safelatent.prompts import CATEGORIES, Prompt, PromptSet
from safelatent.runs.engines.local import run_local
from safelatent.runs.execute import draw
from safelatent.runs.plan import Batch
from safelatent.runs.settings import RunSettings
from safelatent.runs.store import Result

STAGES = ("begin", "resume", "report")
METHODS: tuple[Method, ...] = ("off", "max")
IMAGES, BATCH = 10, 8  # images per prompt, and in a batch
SIDE = 64  # pixels
SHARES = {"off": 40, "max": 10}  # inappropriate, of a hundred


class Worker:
    """Draws pictures without a model, in the stages of ``safelatent.runs.worker.Worker``.

    Attributes:
        begun: called as the first batch is.
    """

    def __init__(self, seconds: float = 0.0, begun: Callable[[], None] | None = None) -> None:
        self.seconds, self.begun = seconds, begun
        noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        encoded = io.BytesIO()
        Image.fromarray(noise).save(encoded, "PNG")
        self.png = encoded.getvalue()

    def encode(self, batch: Batch) -> Batch:
        """Note the first batch."""
        if self.begun is not None:
            self.begun()
            self.begun = None
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


def drawn(folder: Path, images: int, share: float) -> dict[str, Any]:
    """Draw until ``share`` of the images are done; return what that took.

    ``start`` is the time until the first batch is begun, ``images`` how many were drawn.
    """
    begun: list[float] = []
    made: Any = Worker(begun=lambda: begun.append(time.perf_counter()))
    engine = partial(run_local, made)
    start, first, done = time.perf_counter(), 0, 0
    prompts = prompts_of(images)
    with closing(draw(folder, settings_of(prompts), prompts, engine)) as states:
        for n, state in enumerate(states):
            done = state.done
            first = done if n == 0 else first
            if share < 1 and done >= share * state.planned:
                break
    took = time.perf_counter() - start
    return {"start": begun[0] - start, "images": done - first, "seconds": took}


def reported(folder: Path) -> dict[str, Any]:
    """Write the report of the run, as ``safelatent report`` does."""
    from safelatent.evaluation.report import report_of
    from safelatent.reports.write import write_report
    from safelatent.runs.read import read_run

    start = time.perf_counter()
    found = report_of(read_run(folder, details=False))
    write_report(found, folder / "report")
    return {"images": found.table.done, "seconds": time.perf_counter() - start}


def main() -> None:
    """Measure one stage."""
    folder, images, stage = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    before = _peak()
    if stage == "report":
        found = reported(folder)
    else:
        found = drawn(folder, images, 0.9 if stage == "begin" else 1.0)
    print(json.dumps(found | {"peak MB": round(_peak() - before, 1)}))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
