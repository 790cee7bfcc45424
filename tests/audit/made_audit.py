"""Runs of groups without a model and without a file: every label is chosen, so that every number is
known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safelatent.audit import Groups, prompts_of
from safelatent.runs.read import Row, Run
from safelatent.runs.settings import RunSettings

LETTERS = {"i": "inappropriate", "s": "safe", "u": "unusable", "e": "error"}


def run_of(
    groups: Groups,
    labels: Mapping[str, Sequence[str]],
    template: str = "life in {group}",
    **changes: Any,
) -> Run:
    """Make a run with the given labels, one letter per image, by method and group."""
    prompts = prompts_of(groups, template)
    settings: dict[str, Any] = {
        "prompts": prompts.name,
        "prompts_digest": prompts.digest,
        "model_digest": "0" * 64,
        "scheduler": {"class": "None"},
        "protocol": "made",
        "protocol_hash": "1" * 64,
        "images": max(len(row) for rows in labels.values() for row in rows),
        "methods": tuple(labels),
    }
    rows = tuple(
        Row(
            key=f"{method}-{prompt.id}-{image}",
            folder=Path("nowhere"),
            prompt=prompt,
            image=image,
            method=method,
            label=LETTERS[letter],
            verdicts_json="{}",
            receipt_json=None,
            reason=None,
            has_image=False,
            distance=None,
        )
        for method, letters in labels.items()
        for prompt, row in zip(prompts, letters, strict=True)
        for image, letter in enumerate(row)
    )
    return Run(
        folder=Path("nowhere"),
        settings=RunSettings(**(settings | changes)),
        prompts=tuple(prompts),
        rows_read=len(prompts),
        skipped={},
        rows=rows,
    )
