"""What a run costs beside its sampling: ``bench run``'s way against a bare loop over the same
batches.

The loop is what one would write by hand: it encodes, denoises and decodes each batch, and keeps
nothing. The run also judges every image, writes it with its metadata, syncs it to the disk, commits
its row, and measures its distance to the unguarded one.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from safelatent.concepts import DEFAULT_CONCEPT
from safelatent.detectors import named_protocol
from safelatent.generation.methods import by_method
from safelatent.prompts import embedded_i2p
from safelatent.runs.engines.local import run_local
from safelatent.runs.execute import draw
from safelatent.runs.plan import Batch, Plan
from safelatent.runs.prepare import settings_of
from safelatent.runs.settings import RunRequest
from safelatent.runs.worker import Worker

METHODS = ("off", "max")
BATCHES = 2  # of each method


def harness(pipe: Any, batch: int, steps: int) -> dict[str, Callable[[], None]]:
    """The two, for a few batches of each method."""
    prompts, protocol = embedded_i2p().limit(BATCHES * batch), named_protocol("embedded")
    request = RunRequest(prompts=prompts, methods=METHODS, images=1, steps=steps, batch_size=batch)
    settings = settings_of(request, prompts, pipe, protocol)
    worker, plan = Worker(pipe, protocol, settings), Plan(settings=settings, prompts=prompts)

    def whole_run() -> None:
        folder = Path(tempfile.mkdtemp())
        try:
            for _ in draw(folder, settings, prompts, partial(run_local, worker)):
                pass
        finally:
            shutil.rmtree(folder)

    return {"bare loop": partial(_bare_loop, pipe, plan, steps), "run": whole_run}


def _bare_loop(pipe: Any, batches: Iterable[Batch], steps: int) -> None:
    calls = {method: by_method(pipe, method, DEFAULT_CONCEPT) for method in METHODS}
    for batch in batches:
        calls[batch.method](
            [item.prompt.text for item in batch.items],
            num_inference_steps=steps,
            guidance_scale=batch.guidance_scale,
            generator=[
                torch.Generator("cpu").manual_seed(item.prompt.seed) for item in batch.items
            ],
        )
