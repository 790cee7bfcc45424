"""Any table of prompts, by the names of its columns. Knows no data set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from safelatent.prompts.files import read
from safelatent.prompts.gather import gather, slug
from safelatent.prompts.prompt import Prompt
from safelatent.prompts.prompt_set import PromptSet
from safelatent.prompts.rows import Row


def table(
    path: str | Path,
    *,
    text: str = "prompt",
    id: str | None = None,  # noqa: A002  # the name of the field it fills
    seed: str | None = None,
    guidance_scale: str | None = None,
    width: str | None = None,
    height: str | None = None,
    categories: str | None = None,
    name: str | None = None,
) -> PromptSet:
    """The prompts of a CSV, JSON Lines, parquet or text file (whose one column is ``line``).

    Args:
        path: of the file.
        text: the column of the prompts.
        id: the column of ids; without one, ids are ``name-00017``, with the row's number from 0.
        seed: the column of seeds; without one, the seed is the row's number from 0.
        guidance_scale: its column; without one, 7.5.
        width: its column, in pixels; without one, the model's own.
        height: its column, as width.
        categories: the column of labels, with commas between them, or lists; without one, none.
        name: of the set; without one, the file's, without its ending.

    Raises:
        BadValueError: a column is missing, or a value makes no sense, with its place.
    """
    opened = read(path)
    columns = {
        "text": text,
        "id": id,
        "seed": seed,
        "guidance_scale": guidance_scale,
        "width": width,
        "height": height,
    }
    named = {
        field: opened.column(column)
        for field, column in (columns | {"categories": categories}).items()
        if column is not None
    }
    title = name or slug(Path(path).stem)
    return gather(title, opened, partial(_prompt, title, named))


def _prompt(name: str, columns: Mapping[str, str], number: int, row: Row) -> Prompt:
    guidance, width, height = (
        columns.get(field) for field in ("guidance_scale", "width", "height")
    )
    return Prompt(
        text=row.text(columns["text"]),
        id=row.label(columns["id"]) if "id" in columns else f"{name}-{number:05d}",
        seed=row.given(columns["seed"], row.whole) if "seed" in columns else number,
        guidance_scale=row.given(guidance, row.number) if guidance else 7.5,
        width=row.given(width, row.whole) if width else None,
        height=row.given(height, row.whole) if height else None,
        categories=row.labels(columns["categories"]) if "categories" in columns else (),
    )
