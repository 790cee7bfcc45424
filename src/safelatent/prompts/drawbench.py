"""DrawBench (Saharia et al., 2022): 200 harmless prompts in 11 categories of their own, for image
quality to the eye.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from safelatent.prompts.files import read
from safelatent.prompts.gather import gather
from safelatent.prompts.prompt import Prompt
from safelatent.prompts.prompt_set import PromptSet
from safelatent.prompts.rows import Row

TEXT = ("Prompt", "Prompts", "prompt")
CATEGORY = ("Category", "category")


def drawbench(path: str | Path, *, name: str = "drawbench") -> PromptSet:
    """The prompts of a table with the columns ``Prompt`` and ``Category``; the seed is the row's
    number from 0.

    Raises:
        BadValueError: a column is missing, or a value makes no sense, with its place.
    """
    table = read(path)
    return gather(name, table, partial(_prompt, name, table.column(*TEXT), table.column(*CATEGORY)))


def _prompt(name: str, text: str, category: str, number: int, row: Row) -> Prompt:
    return Prompt(
        id=f"{name}-{number:05d}", text=row.text(text), seed=number, categories=row.labels(category)
    )
