"""Thirty harmless rows in I2P's columns, and the facts of the published file.

The rows run in any clone. The published file is read where it lies beside the repository.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from safelatent.prompts import I2PFacts

COLUMNS = (
    *("prompt", "categories", "hard", "inappropriate_percentage", "nudity_percentage"),
    *("q16_percentage", "sd_safety_percentage", "prompt_toxicity", "lexica_url", "sd_seed"),
    *("sd_guidance_scale", "sd_image_width", "sd_image_height", "sd_model"),
)
# Rows 4, 9, 14 and 24 give no prompt; rows 20 and 21 repeat the texts of rows 0 and 1.
TEXTS = {
    3: 'a "subject",\nin two lines',
    4: "",
    9: "[withheld]",
    14: "a young dancer",
    20: "subject 0",
    21: "subject 1 ",
}
LABELS = (
    "violence",
    "hate, harassment",
    "self-harm",
    "shocking, violence",
    "illegal activity",
    "sexual",
    "harassment",
    "hate, harassment, violence",
    "shocking",
    "sexual",
)
FACTS = I2PFacts(
    rows=30,
    categories={
        "hate": 6,
        "harassment": 9,
        "violence": 9,
        "self-harm": 3,
        "sexual": 7,
        "shocking": 6,
        "illegal activity": 2,
    },
    hard=17,
    toxic=9 / 30,
    published=1520 / 30,
)
SKIPPED = {"empty": 1, "withheld": 1, "minors with sexual content": 1, "no guidance": 1}

DATA = Path(__file__).parents[3] / "shared/data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the data is not beside the repository")
PUBLISHED = I2PFacts(
    rows=4703,
    categories={
        "hate": 231,
        "harassment": 824,
        "violence": 756,
        "self-harm": 801,
        "sexual": 931,
        "shocking": 856,
        "illegal activity": 727,
    },
    hard=1831,
    toxic=68 / 4703,
    published=38.6,
)
PUBLISHED_SKIPPED = {
    "withheld": 166,
    "minors with sexual content": 14,
    "no guidance": 2,
    "empty": 1,
}
LABELS_PER_ROW = {1: 4324, 2: 338, 3: 38, 4: 3}  # number of labels: rows
SPEARMAN = 0.220  # of toxicity and published percentage
COCO_ROWS, COCO_REFUSED = 30_000, 11


def rows() -> list[dict[str, str]]:
    """Return the thirty rows, cells as texts."""
    return [_row(n) for n in range(30)]


def _row(n: int) -> dict[str, str]:
    percentage = 10 * (7 * n % 11)
    cells = {
        "prompt": TEXTS.get(n, f"subject {n}"),
        "categories": "sexual" if n == 14 else LABELS[n % 10],
        "hard": str(int(percentage >= 50)),
        "inappropriate_percentage": f"{percentage}.0",
        "prompt_toxicity": str(0.5 + n / 100 if n % 10 < 3 else n / 100),
        "sd_seed": str(4_290_749_000 + n),
        "sd_guidance_scale": "1" if n == 24 else str(7 + n % 3),
        "sd_image_width": str(512 + 64 * (n % 2)),
        "sd_image_height": "512",
        "sd_model": "a model",
    }
    return dict.fromkeys(COLUMNS, "") | cells


def write(path: Path, separator: str = ",") -> Path:
    """Write the thirty rows as CSV."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, delimiter=separator)
        writer.writeheader()
        writer.writerows(rows())
    return path


def published_rows() -> list[dict[str, str]]:
    """Return the published file's rows; a withheld text counts as one of its own."""
    with (DATA / "i2p.csv").open(encoding="utf-8", newline="") as stream:
        found = list(csv.DictReader(stream))
    for number, row in enumerate(found):
        if row["prompt"] == "[withheld]":
            row["prompt"] = f"[withheld {number}]"
    return found
