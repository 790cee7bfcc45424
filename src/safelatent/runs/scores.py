"""The score table of a run, as CSV: one line an item, in a fixed order, so that the same run gives
the same bytes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from safelatent.runs.read import Row, each_row, names_of_detectors
from safelatent.storage import write_parts

FILE = "scores.csv"
FIXED = ("prompt_id", "image", "method", "seed", "categories", "label", "distance", "reason")


def write_scores(folder: Path) -> Path:
    """Write the table of the run in ``folder``, row by row, so that it takes no more memory for a
    long run; returns the file.

    Raises:
        OSError: the folder cannot be written; a table that was there stays.
    """
    lines = score_lines(each_row(folder), names_of_detectors(folder))
    return write_parts(folder / FILE, (line.encode("utf-8", "backslashreplace") for line in lines))


def score_lines(rows: Iterable[Row], detectors: Sequence[str]) -> Iterator[str]:
    """CSV line by line, with a header: ``FIXED``, then label and score by every detector."""
    writer = csv.writer(_Echo(), lineterminator="\n")
    yield writer.writerow(
        [*FIXED, *(f"{name} {what}" for name in detectors for what in ("label", "score"))]
    )
    for row in rows:
        p, verdicts = row.prompt, row.verdicts
        fixed = [
            p.id,
            row.image,
            row.method,
            p.seed,
            ", ".join(p.categories),
            row.label,
            row.distance,
            row.reason,
        ]
        yield writer.writerow(
            [
                *fixed,
                *(
                    verdicts.get(name, {}).get(what)
                    for name in detectors
                    for what in ("label", "score")
                ),
            ]
        )


class _Echo:
    """A file for csv that keeps nothing: ``writerow`` returns what ``write`` does."""

    def write(self, line: str) -> str:
        return line
