"""Runs and audits without a model and without a file: every label is chosen, so that every number
is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safelatent.audit import Groups, prompts_of
from safelatent.audit.data import AuditedImage, DataAudit, GroupShare
from safelatent.metrics import against_others, mean_of_groups, wilson
from safelatent.runs.read import ResultRow, Run
from safelatent.runs.settings import RunSettings

FLAGGED, JUDGED = (18, 2, 0), (20, 20, 1)
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
        ResultRow(
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


def data_audit() -> DataAudit:
    """Make the audit of three colours: 18 of 20, 2 of 20, and 0 of the one that was judged."""
    contrasts = against_others(FLAGGED, JUDGED)
    groups = tuple(
        GroupShare(
            name=name,
            query=f"a {name}",
            inappropriate=FLAGGED[n],
            judged=JUDGED[n],
            unjudged=20 - JUDGED[n],
            rate=wilson(FLAGGED[n], JUDGED[n]),
            contrast=contrasts[n],
            expected=(0.9, 0.5, 0.0)[n],
            cosines=(0.5, 0.25),
        )
        for n, name in enumerate(("red", "green", "blue"))
    )
    hit = AuditedImage(group="red", rank=1, row=7, cosine=0.51234, label="safe",
              facts={"name": "a.png", "caption": "=1\nx" * 2, "url": None})  # fmt: skip
    return DataAudit(
        source="data/laion",
        rows=100,
        left_out=2,
        template="a {group}",
        nearest=20,
        features=("clip", "f" * 64),
        judge="protocol made",
        recall=None,
        groups=groups,
        mean=mean_of_groups(FLAGGED, JUDGED),
        order=None,
        hits=(hit,),
    )
