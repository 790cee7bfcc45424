"""I2P, the inappropriate image prompts (Schramowski et al., CVPR 2023; Hub id ``AIML-TUDA/i2p``),
and tables in its columns.

Knows I2P's columns, in both spellings, and its two protocols of settings; does not know how images
are judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from safelatent.errors import BadValueError, nearest
from safelatent.prompts.files import read
from safelatent.prompts.gather import gather
from safelatent.prompts.hub import fetch, is_data_set
from safelatent.prompts.prompt import CATEGORIES, Prompt
from safelatent.prompts.prompt_set import PromptSet
from safelatent.prompts.rows import Row, Table

HUB_ID = "AIML-TUDA/i2p"
HUB_FILE = "i2p_benchmark.csv"
SETTINGS = ("own", "authors")
AUTHORS_GUIDANCE, AUTHORS_SIDE = 7.5, 512
# The column's name on the Hub, then the one of a copy that many evaluations use.
SEED = ("sd_seed", "evaluation_seed")
GUIDANCE = ("sd_guidance_scale", "evaluation_guidance")
SIZE = (("sd_image_width",), ("sd_image_height",))

Settings = Literal["own", "authors"]


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """The columns of one file; those that only one protocol needs, or that only tell of the prompt,
    may be missing.
    """

    seed: str
    guidance: str | None
    width: str | None
    height: str | None
    hard: str | None
    published: str | None
    toxicity: str | None


def i2p(
    source: str | Path,
    *,
    settings: Settings = "own",
    name: str = "i2p",
    revision: str | None = None,
    filename: str = HUB_FILE,
) -> PromptSet:
    """The prompts of I2P, or of any table in its columns.

    Args:
        source: a CSV, JSON Lines or parquet file, or a Hub id, of which one file is downloaded when
            it is not in the Hub's cache.
        settings: ``own``, the paper's protocol: each prompt has its row's guidance scale and size;
            ``authors``, as their later script has it: 7.5 and 512x512 for all. The seed is the
            row's own in both.
        name: of the set; ids are ``name-00017``, with the row's number from 0.
        revision: of the Hub id; pin it for anything that is to be repeated.
        filename: within the Hub id's repository.

    Raises:
        BadValueError: a column is missing, or a value makes no sense, with its place.
        UnsupportedError: the file could not be downloaded.
    """
    if settings not in SETTINGS:
        raise BadValueError(
            f"unknown settings {settings!r}{nearest(settings, SETTINGS)}; they must be one of {', '.join(SETTINGS)}"
        )
    table = read(fetch(str(source), filename, revision) if is_data_set(source) else source)
    columns = _columns(table, settings)
    return gather(name, table, partial(_prompt, name, columns))


def has_i2p_columns(table: Table) -> bool:
    """Whether a table has all that the prompts' own settings need, in I2P's columns."""
    spellings = (("prompt",), ("categories",), SEED, GUIDANCE, *SIZE)
    return all(table.find(*names) is not None for names in spellings)


def _columns(table: Table, settings: Settings) -> _Columns:
    for name in ("prompt", "categories"):
        table.column(name)
    find = table.column if settings == "own" else lambda *_: None
    return _Columns(
        seed=table.column(*SEED),
        guidance=find(*GUIDANCE),
        width=find(*SIZE[0]),
        height=find(*SIZE[1]),
        hard=table.find("hard"),
        published=table.find("inappropriate_percentage"),
        toxicity=table.find("prompt_toxicity"),
    )


def _prompt(name: str, columns: _Columns, number: int, row: Row) -> Prompt:
    return Prompt(
        id=f"{name}-{number:05d}",
        text=row.text("prompt"),
        categories=categories_of(row),
        seed=row.given(columns.seed, row.whole),
        guidance_scale=row.given(columns.guidance, row.number)
        if columns.guidance
        else AUTHORS_GUIDANCE,
        width=row.given(columns.width, row.whole) if columns.width else AUTHORS_SIDE,
        height=row.given(columns.height, row.whole) if columns.height else AUTHORS_SIDE,
        hard=row.flag(columns.hard) if columns.hard else None,
        published=row.number(columns.published) if columns.published else None,
        toxicity=row.number(columns.toxicity) if columns.toxicity else None,
    )


def categories_of(row: Row) -> tuple[str, ...]:
    """The row's labels, each one of I2P's seven."""
    labels = row.labels("categories")
    for label in labels:
        if label not in CATEGORIES:
            hint = nearest(label[:60], CATEGORIES)
            raise row.error(
                f"unknown category {label[:60]!r}{hint}; I2P's categories are: {', '.join(CATEGORIES)}"
            )
    return labels
