"""The score table of a run, as CSV: one line per item, in a fixed order, so that the same run gives
the same bytes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from safelatent.runs.read import ResultRow, each_row, names_of_detectors
from safelatent.storage import write_parts
from safelatent.text import csv_cell

FILE = "scores.csv"
FIXED = ("prompt_id", "image", "method", "seed", "categories", "label", "distance", "reason")


def write_scores(folder: Path) -> Path:
    """Write the table of the run in ``folder``, row by row, so that it takes no more memory for a
    long run; return the file.

    Raises:
        OSError: the folder cannot be written; a table that was there stays.
        RunError: the run holds what no run writes.
    """
    lines = score_lines(each_row(folder), names_of_detectors(folder))
    return write_parts(folder / FILE, (line.encode("utf-8", "backslashreplace") for line in lines))


def score_lines(rows: Iterable[ResultRow], detectors: Sequence[str]) -> Iterator[str]:
    """Yield the CSV line by line: a header, then ``FIXED``, and label and score per detector."""
    writer = csv.writer(_Echo(), lineterminator="\n")
    of_detectors = [(name, what) for name in detectors for what in ("label", "score")]
    header = [*FIXED, *(f"{name} {what}" for name, what in of_detectors)]
    yield writer.writerow(map(csv_cell, header))
    for row in rows:
        verdicts = row.verdicts
        scored = [verdicts.get(name, {}).get(what) for name, what in of_detectors]
        yield writer.writerow(map(csv_cell, [*_fixed(row), *scored]))


def _fixed(row: ResultRow) -> list[object]:
    p = row.prompt
    categories = ", ".join(p.categories)
    return [
        p.id,
        row.image,
        row.method,
        p.seed,
        categories,
        row.label,
        row.distance,
        row.reason,
    ]


class _Echo:
    """A file for csv that keeps nothing: ``writerow`` returns what ``write`` does."""

    def write(self, line: str) -> str:
        return line
