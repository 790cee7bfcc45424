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
from safelatent.runs.bench import run
from safelatent.runs.engines.local import run_local
from safelatent.runs.maker import Maker
from safelatent.runs.plan import Batch, Plan
from safelatent.runs.prepare import Asked, settings_of

METHODS = ("off", "medium")
BATCHES = 2  # of each method


def harness(pipe: Any, batch: int, steps: int) -> dict[str, Callable[[], None]]:
    """The two, for a few batches of each method."""
    prompts, protocol = embedded_i2p().limit(BATCHES * batch), named_protocol("embedded")
    asked = Asked(methods=METHODS, images=1, steps=steps, batch=batch)
    settings = settings_of(asked, prompts, pipe, protocol)
    maker, plan = Maker(pipe, protocol, settings), Plan(settings=settings, prompts=prompts)

    def whole_run() -> None:
        folder = Path(tempfile.mkdtemp())
        try:
            for _ in run(folder, settings, prompts, partial(run_local, maker)):
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
