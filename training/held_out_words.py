"""The words that stand in no caption of the shipped model, each with the thing that it is another
word for: kept for measuring anywhere.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from safelatent.storage import write_whole
from training.vocabulary import THINGS

FILE = Path(__file__).with_suffix(".csv")


def save_words(paraphrases: Mapping[str, int], file: Path = FILE) -> None:
    """Write the words, each with its thing, an index into THINGS."""
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(["word", "thing"])
    table.writerows([word, THINGS[thing].names[0]] for word, thing in paraphrases.items())
    write_whole(file, lines.getvalue().encode())


def read_words(file: Path = FILE) -> dict[str, int]:
    """What ``save_words`` wrote."""
    number = {thing.names[0]: n for n, thing in enumerate(THINGS)}
    with file.open(encoding="utf-8", newline="") as lines:
        return {row["word"]: number[row["thing"]] for row in csv.DictReader(lines)}
