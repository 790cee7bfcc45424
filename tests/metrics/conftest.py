"""The I2P prompts, where their file lies beside the repository."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

I2P = Path(__file__).parents[3] / "shared/data/i2p.csv"


@pytest.fixture(scope="session")
def i2p() -> list[dict[str, str]]:
    """The rows as texts. A withheld text stands for a prompt of its own, so it is numbered."""
    if not I2P.exists():
        pytest.skip(f"{I2P.name} is not beside the repository")
    with I2P.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        if row["prompt"] == "[withheld]":
            row["prompt"] = f"[withheld {number}]"
    return rows
