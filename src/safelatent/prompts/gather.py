"""From rows to a prompt set, with every row accounted for. Knows how to count; does not know what a
column means.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from safelatent.errors import BadValueError
from safelatent.prompts.prompt import Prompt, UnusableError
from safelatent.prompts.prompt_set import PromptSet
from safelatent.prompts.rows import Row, RowError, Table


def gather(name: str, table: Table, make: Callable[[int, Row], Prompt]) -> PromptSet:
    """The prompts that ``make`` gives for the rows, which it is told by their number from 0.

    Rows that are blank, that give no usable prompt, or whose id was there before are counted by
    reason.

    Raises:
        BadValueError: there is no row, none is usable, or a value makes no sense, with its place.
    """
    prompts: dict[str, Prompt] = {}
    skipped: Counter[str] = Counter()
    rows = 0
    for rows, row in enumerate(table.rows, 1):
        try:
            reason = _add(prompts, make(rows - 1, row)) if row.cells else "empty"
        except UnusableError as unusable:
            reason = unusable.reason
        except RowError:
            raise
        except BadValueError as error:
            raise row.error(str(error)) from None
        skipped.update([reason] if reason else [])
    if rows == 0:
        raise BadValueError(f"{table.source} has columns and no row; give at least one prompt")
    return PromptSet(name=name, prompts=tuple(prompts.values()), rows=rows, skipped=skipped)


def _add(prompts: dict[str, Prompt], prompt: Prompt) -> str | None:
    if prompts.setdefault(prompt.id, prompt) is not prompt:
        return "duplicate id"
    return None


def slug(text: str) -> str:
    """``text`` as a part of an id: a dash for what is no letter, digit, underscore, dot or dash."""
    return re.sub(r"[^\w.-]+", "-", text).strip(".-") or "prompts"
