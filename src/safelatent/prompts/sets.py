"""Prompt sets read from a table: COCO captions, DrawBench, countries, and any table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from safelatent.errors import BadValueError
from safelatent.prompts.files import read
from safelatent.prompts.prompt import Prompt
from safelatent.prompts.prompt_set import PromptSet, gather, slug
from safelatent.prompts.rows import PromptRow
from safelatent.prompts.text_files import LINE

COUNTRY_TEMPLATE = "{country} body"
_COUNTRY = "{country}"
_TEXT_REMEDY = (
    "name the column of the prompts with --text-column or, for a command without that option, "
    "rename it to 'prompt'"
)
_SEED_REMEDY = "name the column of the seeds with --seed-column"


def coco(path: str | Path, *, name: str = "coco") -> PromptSet:
    """Read COCO captions: harmless prompts, to measure what guidance costs (the paper's FID-30k).

    The table has the columns ``prompt`` or ``caption``, ``image_id``, and a seed by any common
    name. Ids are ``coco-000000203564``, from the image. Without a seed column, the seed is the
    row's number, counted from 0.

    Raises:
        BadValueError: a column is missing, or a value is out of its range, with its place.
    """
    table = read(path)
    text, image = table.column("prompt", "caption"), table.column("image_id")
    seed = table.find("evaluation_seed", "sd_seed", "seed")
    return gather(name, table, partial(_caption, name, text, image, seed))


def _caption(
    name: str, text: str, image: str, seed: str | None, number: int, row: PromptRow
) -> Prompt:
    return Prompt(
        id=f"{name}-{row.label(image)}",
        text=row.text(text),
        seed=number if seed is None else row.given(seed, row.whole),
    )


def drawbench(path: str | Path, *, name: str = "drawbench") -> PromptSet:
    """Read DrawBench (Saharia et al., 2022): 200 harmless prompts in 11 categories, to judge image
    quality by eye.

    The table has the columns ``Prompt`` and ``Category``; the seed is the row's number, counted
    from 0.

    Raises:
        BadValueError: a column is missing, or a value is out of its range, with its place.
    """
    table = read(path)
    text, category = table.column("prompt", "prompts"), table.column("category")
    return gather(name, table, partial(_drawing, name, text, category))


def _drawing(name: str, text: str, category: str, number: int, row: PromptRow) -> Prompt:
    return Prompt(
        id=f"{name}-{number:05d}", text=row.text(text), seed=number, categories=row.labels(category)
    )


def countries(
    path: str | Path, *, template: str = COUNTRY_TEMPLATE, name: str = "countries"
) -> PromptSet:
    """Read one country per line, and put each into a template: what a model associates with the
    name alone (the paper's "<country> body").

    A line in the form of the paper's prompts ("Japan body") counts as the country. Ids are
    ``countries-south-korea``; the seed is the line's number, counted from 0.

    Raises:
        BadValueError: the template does not say where the country goes, or the file cannot be read.
    """
    if template.count(_COUNTRY) != 1:
        raise BadValueError(
            f"the template is {template!r}; it must hold {_COUNTRY} once, for example"
            f" {COUNTRY_TEMPLATE!r}"
        )
    table = read(path)
    line = table.column(LINE, remedy="give a .txt file with one country per line")
    return gather(name, table, partial(_country, name, template, line))


def _country(name: str, template: str, line: str, number: int, row: PromptRow) -> Prompt:
    country = row.text(line).removesuffix(COUNTRY_TEMPLATE.removeprefix(_COUNTRY))
    return Prompt(
        id=f"{name}-{slug(country.lower())}", text=template.replace(_COUNTRY, country), seed=number
    )


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
    """Read any table by the names of its columns.

    Args:
        path: a CSV, TSV, JSON, JSON Lines, parquet or text file (whose one column is ``line``).
        text: column of the prompts.
        id: column of the ids; None numbers the rows from 0: ``name-00017``.
        seed: column of the seeds; None takes the row's number, counted from 0.
        guidance_scale: column of the guidance scales; None is 7.5 for all.
        width, height: columns of the image sizes in pixels; None is the model's own.
        categories: column of labels, separated by commas or as lists; None gives no categories.
        name: name of the set; None takes the file's name without its ending.

    Raises:
        BadValueError: a column is missing, or a value is out of its range, with its place.
    """
    opened = read(path)
    named = {"text": opened.column(text, remedy=_TEXT_REMEDY)}
    if seed is not None:
        named["seed"] = opened.column(seed, remedy=_SEED_REMEDY)
    others = {"id": id, "guidance_scale": guidance_scale, "categories": categories}
    others |= {"width": width, "height": height}
    named |= {key: opened.column(column) for key, column in others.items() if column is not None}
    title = name or slug(Path(path).stem)
    return gather(title, opened, partial(_prompt, title, named))


def _prompt(name: str, columns: Mapping[str, str], number: int, row: PromptRow) -> Prompt:
    guidance, width, height = (columns.get(key) for key in ("guidance_scale", "width", "height"))
    return Prompt(
        text=row.text(columns["text"]),
        id=row.label(columns["id"]) if "id" in columns else f"{name}-{number:05d}",
        seed=row.given(columns["seed"], row.whole) if "seed" in columns else number,
        guidance_scale=row.given(guidance, row.number) if guidance else 7.5,
        width=row.given(width, row.whole) if width else None,
        height=row.given(height, row.whole) if height else None,
        categories=row.labels(columns["categories"]) if "categories" in columns else (),
    )
