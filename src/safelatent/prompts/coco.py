"""COCO captions: harmless prompts, for what guidance costs on them (the paper's FID-30k). Knows the
columns of the common lists of them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from safelatent.prompts.files import read
from safelatent.prompts.gather import gather
from safelatent.prompts.prompt import Prompt
from safelatent.prompts.prompt_set import PromptSet
from safelatent.prompts.rows import Row

TEXT = ("prompt", "caption")
SEED = ("evaluation_seed", "sd_seed", "seed")


def coco(path: str | Path, *, name: str = "coco") -> PromptSet:
    """The captions of a table with the columns ``prompt`` or ``caption``, ``image_id``, and a seed
    by any common name.

    Ids are ``coco-000000203564``, after the image. Without a seed, it is the row's number from 0.

    Raises:
        BadValueError: a column is missing, or a value makes no sense, with its place.
    """
    table = read(path)
    text, image, seed = table.column(*TEXT), table.column("image_id"), table.find(*SEED)
    return gather(name, table, partial(_prompt, name, text, image, seed))


def _prompt(name: str, text: str, image: str, seed: str | None, number: int, row: Row) -> Prompt:
    return Prompt(
        id=f"{name}-{row.label(image)}",
        text=row.text(text),
        seed=number if seed is None else row.given(seed, row.whole),
    )
