"""Attack and over-refusal sets, read from their files as they are published.

Nothing of them is part of the package. Labels that mean one of I2P's seven categories become it,
others stay as they are. A prompt of an over-refusal set is harmless although it sounds unsafe: it
has the category ``harmless``, and what it sounds like as ``looks like ...``, so that no table
counts it among unsafe prompts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safelatent.prompts.files import read
from safelatent.prompts.i2p import GUIDANCE, SEED, i2p
from safelatent.prompts.prompt import HARMLESS, Prompt
from safelatent.prompts.prompt_set import PromptSet, gather
from safelatent.prompts.rows import PromptRow, Table

UNLEARN_DIFF_ATK = "unlearn-diff-atk"
LOOKS_LIKE = "looks like"
# What the published labels call I2P's categories, beside I2P's own names.
_MEANS = {
    "discrimination": "hate",
    "humiliation": "harassment",
    "violent": "violence",
    "sexual content": "sexual",
    "pornography": "sexual",
    "nudity": "sexual",
    "disturbing": "shocking",
    "illegal activities": "illegal activity",
    "illegal": "illegal activity",
    "suicide": "self-harm",
    "self harm": "self-harm",
    "hate": "hate",
    "harassment": "harassment",
    "violence": "violence",
    "sexual": "sexual",
    "shocking": "shocking",
    "illegal activity": "illegal activity",
}
_LEVELS = "——"  # between a primary label and a finer one


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns of a published file.

    Attributes:
        text: of the prompts, by any of these names.
        labels: of the categories; empty where the file has none.
        subject: category of every prompt of the file, as its publisher describes it. It makes the
            rule about minors refuse any word for a minor.
        harmless: whether it is an over-refusal set.
    """

    text: tuple[str, ...]
    labels: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    harmless: bool = False


LAYOUTS: dict[str, Layout] = {
    "ring-a-bell": Layout(text=("sensitive prompt",), subject=("sexual",)),
    "ring-a-bell-benign": Layout(text=("normal prompt",), harmless=True),
    "mma-diffusion": Layout(text=("adv_prompt",), subject=("sexual",)),
    "mma-diffusion-benign": Layout(text=("clean_prompt",), harmless=True),
    "p4d": Layout(text=("prompt",), subject=("sexual",)),
    "coprov2": Layout(text=("caption",)),
    "overt": Layout(text=("image_prompt",), labels=("category",), harmless=True),
    "overt-unsafe": Layout(text=("unsafe_image_prompt",), labels=("category",)),
    "t2i-risky-prompt": Layout(text=("prompt",), labels=("label",)),
    "t2isafety": Layout(text=("prompt", "caption"), labels=("text_category", "category")),
}
PUBLISHED = (*LAYOUTS, UNLEARN_DIFF_ATK)


def published(name: str, source: str | Path) -> PromptSet:
    """Read the attack or over-refusal set called ``name``, one of ``PUBLISHED``.

    Ids are ``name-00017``. The seed and the guidance scale are the row's own where the file has
    them, else the row's number, counted from 0, and 7.5.

    Args:
        source: the file; of UnlearnDiffAtk, which has I2P's columns, also a Hub id.

    Raises:
        BadValueError: a column is missing, or a value is out of its range, with its place.
        UnsupportedError: the file could not be downloaded, or needs an extra.
    """
    if name == UNLEARN_DIFF_ATK:
        return i2p(source, name=name)
    layout, table = LAYOUTS[name], read(source)
    columns = _Columns(
        text=table.column(*layout.text, remedy=f"give {name}'s file as it is published"),
        labels=_labels_column(name, layout, table),
        seed=table.find(*SEED, "seed"),
        guidance=table.find(*GUIDANCE, "guidance_scale"),
    )
    return gather(name, table, partial(_prompt, name, layout, columns))


def is_harmless(prompt: Prompt) -> bool:
    """Return whether a prompt is of an over-refusal set: refusing it is a fault."""
    return HARMLESS in prompt.categories


@dataclass(frozen=True, kw_only=True)
class _Columns:
    text: str
    labels: str | None
    seed: str | None
    guidance: str | None


def _labels_column(name: str, layout: Layout, table: Table) -> str | None:
    if not layout.labels:
        return table.find("categories", "category")
    return table.column(*layout.labels, remedy=f"give {name}'s file as it is published")


def _prompt(name: str, layout: Layout, columns: _Columns, number: int, row: PromptRow) -> Prompt:
    labels = () if columns.labels is None else row.keys(columns.labels)
    return Prompt(
        id=f"{name}-{number:05d}",
        text=row.text(columns.text),
        seed=number if columns.seed is None else row.given(columns.seed, row.whole),
        guidance_scale=7.5 if columns.guidance is None else row.given(columns.guidance, row.number),
        categories=_categories(layout, labels),
    )


def _categories(layout: Layout, labels: Sequence[str]) -> tuple[str, ...]:
    found = [*layout.subject, *map(_category, labels)]
    if layout.harmless:
        found = [HARMLESS, *(f"{LOOKS_LIKE} {label}" for label in found)]
    return tuple(dict.fromkeys(found))


def _category(label: str) -> str:
    """Return the I2P category that a published label means, or the label."""
    for part in (label, *label.split(_LEVELS)):
        plain = re.sub(r"[\s_-]+", " ", part).strip().casefold()
        if plain in _MEANS:
            return _MEANS[plain]
    return label
