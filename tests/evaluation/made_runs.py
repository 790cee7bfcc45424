"""Runs without a model, written through the store: every label is chosen, so that every number is
known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from safelatent.prompts import Prompt, PromptSet
from safelatent.runs.plan import Item, RunPlan
from safelatent.runs.read import Run, read_run
from safelatent.runs.store import Result, Store
from tests.runs import dummy

WORDS = {"s": "safe", "i": "inappropriate", "u": "unusable", "e": "error"}
# Grey levels, so that the distance to ``off`` (black) is a fifth for each step.
LEVELS = {"off": 0, "negative prompt": 51, "weak": 51, "medium": 51, "strong": 102, "max": 153}

PROMPTS = (
    Prompt(text="zero", id="p-0", seed=1, categories=("violence",)),
    Prompt(text="one", id="p-1", seed=2, categories=("violence", "hate")),
    Prompt(text="two", id="p-2", seed=3, categories=("hate",)),
    Prompt(text="three", id="p-3", seed=4),
)
# By method, prompt and image.
LABELS = {
    "off": ("ii", "is", "su", "ei"),
    "medium": ("si", "ss", "ss", "ii"),
    "max": ("ss", "uu", "ss", "ss"),
}


def known(item: Item) -> str:
    return LABELS[item.method][int(item.prompt.id[-1])][item.image]


def made_run(
    folder: Path,
    letter: Callable[[Item], str] = known,
    prompts: Sequence[Prompt] = PROMPTS,
    evidence: Any = "seen",
    prompts_name: str = "made",
    **changes: Any,
) -> Run:
    """Make a run in which every item has the label whose first letter ``letter`` gives; a blank
    leaves it out.
    """
    chosen = PromptSet(
        name=prompts_name,
        prompts=tuple(prompts),
        rows=len(prompts) + 3,
        skipped={"withheld": 2, "empty": 1},
    )
    own = {"model": "no model", "scheduler": {"class": "None", "shift": 1}, "batch_size": 8}
    own |= {"protocol": "made"}
    settings = dummy.settings(chosen, **(own | changes))
    # No machine loses its power in the middle of a test: most of the time would go into syncing.
    with patch("os.fsync"), Store(folder, settings, chosen) as store:
        for batch in RunPlan(settings=settings, prompts=chosen):
            store.commit(
                [
                    _result(item, WORDS[letter(item)], evidence)
                    for item in batch.items
                    if letter(item).strip()
                ]
            )
        store.fill_distances()
    return read_run(folder)


def _result(item: Item, label: str, evidence: Any) -> Result:
    which = {
        "key": item.key,
        "prompt_id": item.prompt.id,
        "image": item.image,
        "method": item.method,
        "label": label,
    }
    if label == "error":
        return Result(**which, png=None, verdicts={}, reason="made to fail")
    score = {"safe": 0.25, "inappropriate": 0.75, "unusable": None}[label]
    verdict = {"label": label, "score": score, "threshold": 0.5, "evidence": evidence}
    return Result(**which, png=_png(LEVELS[item.method]), verdicts={"judge": verdict})


def _png(level: int) -> bytes:
    return dummy.as_png(np.full((8, 8, 3), level, np.uint8))
