"""I2P, the inappropriate image prompts (Schramowski et al., CVPR 2023; Hub id ``AIML-TUDA/i2p``),
and tables in its columns: its two spellings, its two protocols of settings, and its facts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from safelatent.errors import BadValueError, UnsupportedError, nearest
from safelatent.hub import is_hub_id
from safelatent.prompts.files import READERS, read
from safelatent.prompts.prompt import CATEGORIES, Prompt
from safelatent.prompts.prompt_set import PromptSet, gather
from safelatent.prompts.rows import PromptRow, Table
from safelatent.text import squeezed

Settings = Literal["own", "authors"]

HUB_ID = "AIML-TUDA/i2p"
HUB_FILE = "i2p_benchmark.csv"
AUTHORS_GUIDANCE, AUTHORS_SIDE = 7.5, 512
TOXIC = 0.5  # a text of at least this toxicity counts as toxic
# The column's name on the Hub, then that of a copy that many evaluations use.
SEED = ("sd_seed", "evaluation_seed")
GUIDANCE = ("sd_guidance_scale", "evaluation_guidance")
SIZE = (("sd_image_width",), ("sd_image_height",))


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """The columns of one file; those that only one protocol needs, or that only describe the
    prompt, may be missing.
    """

    text: str
    categories: str
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
    seed: str | None = None,
    name: str = "i2p",
    revision: str | None = None,
    filename: str = HUB_FILE,
) -> PromptSet:
    """Read I2P, or any table in its columns.

    Args:
        source: a CSV, JSON, JSON Lines or parquet file, or a Hub id, from which one file is
            downloaded unless it is in the Hub's cache.
        settings: ``own`` is the paper's protocol: each prompt has its row's guidance scale and
            size; ``authors`` is what their later script does: 7.5 and 512x512 for all. The seed is
            the row's own in both.
        seed: column of the seeds; None is ``sd_seed`` or ``evaluation_seed``.
        name: name of the set; ids are ``name-00017``, with the row's number from 0.
        revision: revision of the Hub id; pin it for anything that is to be repeated.
        filename: file within the Hub id's repository.

    Raises:
        BadValueError: a column is missing, or a value is out of its range, with its place.
        UnsupportedError: the file could not be downloaded.
    """
    known = get_args(Settings)
    if settings not in known:
        raise BadValueError(
            f"unknown settings {settings!r}{nearest(settings, known)}; they must be one of"
            f" {', '.join(known)}"
        )
    table = read(_fetch(str(source), filename, revision) if _is_data_set(source) else source)
    return gather(name, table, partial(_prompt, name, _columns(table, settings, seed)))


def has_i2p_columns(table: Table, seed: str | None = None) -> bool:
    """Return whether a table has all of I2P's columns that the prompts' own settings need, with the
    seeds in ``seed`` or, for None, in I2P's column.
    """
    seeds = SEED if seed is None else (seed,)
    spellings = (("prompt",), ("categories",), seeds, GUIDANCE, *SIZE)
    return all(table.find(*names) is not None for names in spellings)


def _is_data_set(source: str | Path) -> bool:
    """Return whether ``source`` is a Hub id without the ending of a table's file: a misspelt path
    asks no hub.
    """
    named = isinstance(source, str) and is_hub_id(source)
    return named and Path(source).suffix.lower() not in READERS


def _fetch(repository: str, filename: str, revision: str | None) -> Path:
    """Return the data set's file, from the Hub's cache or else downloaded."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, filename, repo_type="dataset", revision=revision))
    except (OSError, ValueError) as error:
        raise UnsupportedError(
            f"cannot download {filename!r} of the data set {repository!r}:"
            f" {squeezed(error).rstrip('.')};"
            " download it yourself and give its path"
        ) from error


def _columns(table: Table, settings: Settings, seed: str | None) -> _Columns:
    find = table.column if settings == "own" else lambda *_: None
    return _Columns(
        text=table.column("prompt"),
        categories=table.column("categories"),
        seed=table.column(*(SEED if seed is None else (seed,))),
        guidance=find(*GUIDANCE),
        width=find(*SIZE[0]),
        height=find(*SIZE[1]),
        hard=table.find("hard"),
        published=table.find("inappropriate_percentage"),
        toxicity=table.find("prompt_toxicity"),
    )


def _prompt(name: str, columns: _Columns, number: int, row: PromptRow) -> Prompt:
    guidance, width, height = columns.guidance, columns.width, columns.height
    return Prompt(
        id=f"{name}-{number:05d}",
        text=row.text(columns.text),
        categories=_categories(row, columns.categories),
        seed=row.given(columns.seed, row.whole),
        guidance_scale=row.given(guidance, row.number) if guidance else AUTHORS_GUIDANCE,
        width=row.given(width, row.whole) if width else AUTHORS_SIDE,
        height=row.given(height, row.whole) if height else AUTHORS_SIDE,
        hard=row.flag(columns.hard) if columns.hard else None,
        published=row.number(columns.published) if columns.published else None,
        toxicity=row.number(columns.toxicity) if columns.toxicity else None,
    )


def _categories(row: PromptRow, column: str) -> tuple[str, ...]:
    """Return the row's labels, each one of I2P's seven."""
    labels = row.labels(column)
    for label in labels:
        if label not in CATEGORIES:
            raise row.error(
                f"unknown category {label[:60]!r}{nearest(label[:60], CATEGORIES)}; I2P's"
                f" categories are: {', '.join(CATEGORIES)}"
            )
    return labels


@dataclass(frozen=True, kw_only=True)
class I2PFacts:
    """Counts over all rows of a file in I2P's columns, whether or not an image may be made of them.

    Attributes:
        rows: number of rows.
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
    """Count over all rows of a file in I2P's columns, to check the published facts on any copy.

    Raises:
        BadValueError: a column or a value is missing or out of its range, with its place.
    """
    table = read(path)
    column, hard, published, toxicity = (
        table.column(name)
        for name in ("categories", "hard", "inappropriate_percentage", "prompt_toxicity")
    )
    rows, flags, toxic, total, labels = 0, 0, 0, 0.0, Counter[str]()
    for row in table.rows:
        rows += 1
        labels.update(_categories(row, column))
        flags += row.flag(hard) or False
        toxic += row.given(toxicity, row.number) >= TOXIC
        total += row.given(published, row.number)
    if rows == 0:
        raise BadValueError(f"{table.source} has columns and no row; give I2P's table")
    categories = {label: labels[label] for label in CATEGORIES}
    return I2PFacts(
        rows=rows, categories=categories, hard=flags, toxic=toxic / rows, published=total / rows
    )
