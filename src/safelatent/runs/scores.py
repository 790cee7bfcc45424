"""The score table of a run, as CSV: one line an item, in a fixed order, so that the same run gives the same bytes."""

from __future__ import annotations

import csv
import io

from safelatent.runs.read import Run

FIXED = ("prompt_id", "image", "method", "seed", "categories", "label", "distance", "reason")


def score_table(run: Run) -> str:
    """CSV with a header: ``FIXED``, then label and score by every detector."""
    detectors = sorted({name for row in run.rows for name in row.verdicts})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*FIXED, *(f"{name} {what}" for name in detectors for what in ("label", "score"))])
    for row in run.rows:
        p = row.prompt
        fixed = [p.id, row.image, row.method, p.seed, ", ".join(p.categories), row.label, row.distance, row.reason]
        writer.writerow([*fixed, *(row.verdicts.get(name, {}).get(what) for name in detectors for what in ("label", "score"))])
    return out.getvalue()
