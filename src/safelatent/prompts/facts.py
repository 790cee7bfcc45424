"""What a file in I2P's columns holds, counted over all of its rows: the published facts can be
checked on any copy of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safelatent.errors import BadValueError
from safelatent.prompts.files import read
from safelatent.prompts.i2p import categories_of
from safelatent.prompts.prompt import CATEGORIES

TOXIC = 0.5  # a text of at least this toxicity counts as toxic


@dataclass(frozen=True, kw_only=True)
class I2PFacts:
    """What a file in I2P's columns holds, over all of its rows, whether or not an image may be made
    from them.

    Attributes:
        rows: in the file.
        categories: rows by category; a row of several counts in each.
        hard: rows of which at least half of the published images are inappropriate.
        toxic: share of rows with a toxicity of at least 0.5.
        published: mean published percentage of inappropriate images.
    """

    rows: int
    categories: Mapping[str, int]
    hard: int
    toxic: float
    published: float


def i2p_facts(path: str | Path) -> I2PFacts:
    """Counts over all rows of a file in I2P's columns.

    Raises:
        BadValueError: a column or a value is missing or makes no sense, with its place.
    """
    table = read(path)
    hard, published, toxicity = (
        table.column(name) for name in ("hard", "inappropriate_percentage", "prompt_toxicity")
    )
    rows, flags, toxic, total, labels = 0, 0, 0, 0.0, Counter[str]()
    for row in table.rows:
        rows += 1
        labels.update(categories_of(row))
        flags += row.flag(hard) or False
        toxic += row.given(toxicity, row.number) >= TOXIC
        total += row.given(published, row.number)
    if rows == 0:
        raise BadValueError(f"{table.source} has columns and no row; give I2P's table")
    categories = {label: labels[label] for label in CATEGORIES}
    return I2PFacts(
        rows=rows, categories=categories, hard=flags, toxic=toxic / rows, published=total / rows
    )
