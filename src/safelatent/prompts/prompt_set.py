"""A sequence of prompts that accounts for every row it was made from, and how rows become one."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from types import MappingProxyType
from typing import overload

from safelatent.errors import BadValueError
from safelatent.prompts.prompt import CATEGORIES, Prompt, UnusableError
from safelatent.prompts.rows import PromptRow, RowError, Table

_FIELDS = tuple(field.name for field in fields(Prompt))


@dataclass(frozen=True, kw_only=True)
class PromptSet(Sequence[Prompt]):
    """Prompts, and the rows they were made from: ``len(prompts) + sum(prompts.skipped.values()) ==
    prompts.rows``, always.

    Attributes:
        name: name of the set; the name of a part says so.
        prompts: at least one, in the order of the rows, with distinct ids.
        rows: number of rows read.
        skipped: number of rows that gave no prompt, by reason.

    Raises:
        BadValueError: there is no prompt, two have the same id, or rows are not accounted for.
    """

    name: str
    prompts: tuple[Prompt, ...]
    rows: int
    skipped: Mapping[str, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "skipped", MappingProxyType(dict(self.skipped)))
        if not self.prompts:
            raise BadValueError(
                f"{self.name}: none of {self.rows} rows gives a prompt ({_list(self.skipped)});"
                " give at least one prompt"
            )
        if len({prompt.id for prompt in self.prompts}) != len(self.prompts):
            raise BadValueError(f"{self.name}: two prompts have the same id; give each its own")
        if (
            len(self.prompts) + sum(self.skipped.values()) != self.rows
            or min(self.skipped.values(), default=1) < 1
        ):
            raise BadValueError(
                f"{self.name}: {len(self.prompts)} prompts and {_list(self.skipped)} do not make"
                f" {self.rows} rows"
            )

    def __len__(self) -> int:
        return len(self.prompts)

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.prompts)

    @overload
    def __getitem__(self, index: int) -> Prompt: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Prompt, ...]: ...
    def __getitem__(self, index: int | slice) -> Prompt | tuple[Prompt, ...]:
        return self.prompts[index]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every field of every prompt, in order: a run that stores it notices when its
        data changes.
        """
        state = hashlib.sha256()
        for prompt in self.prompts:
            line = json.dumps([getattr(prompt, name) for name in _FIELDS], allow_nan=False)
            state.update(line.encode() + b"\n")
        return state.hexdigest()

    def counts(self) -> dict[str, int]:
        """Count prompts by category, I2P's seven first; a prompt of several counts in each."""
        found = Counter(label for prompt in self.prompts for label in prompt.categories)
        order = [
            *(label for label in CATEGORIES if label in found),
            *sorted(found.keys() - set(CATEGORIES)),
        ]
        return {label: found[label] for label in order}

    def limit(self, n: int) -> PromptSet:
        """Return the first ``n`` prompts as a set whose name says so; the others are counted as
        skipped, ``beyond the limit``.

        Raises:
            BadValueError: ``n`` is not a whole number of at least 1.
        """
        if type(n) is not int or n < 1:
            raise BadValueError(f"the limit is {n!r}; it must be a whole number of at least 1")
        first = {prompt.id for prompt in self.prompts[:n]}
        return self.only(lambda prompt: prompt.id in first, f"first {n}", "beyond the limit")

    def only(self, keep: Callable[[Prompt], bool], title: str, reason: str) -> PromptSet:
        """Return the prompts for which ``keep`` holds, named ``name (title)``; the others are
        counted as skipped for ``reason``.

        Raises:
            BadValueError: it holds for none.
        """
        kept = tuple(prompt for prompt in self.prompts if keep(prompt))
        if len(kept) == len(self.prompts):
            return self
        left = {**self.skipped, reason: self.skipped.get(reason, 0) + len(self.prompts) - len(kept)}
        return PromptSet(name=f"{self.name} ({title})", prompts=kept, rows=self.rows, skipped=left)


def gather(name: str, table: Table, make: Callable[[int, PromptRow], Prompt]) -> PromptSet:
    """Make a prompt of every row by ``make(number, row)``, with numbers from 0.

    Rows that are blank, that give no usable prompt, or whose id appeared before are counted by
    reason.

    Raises:
        BadValueError: there is no row, none is usable, or a value is out of its range, with its
            place.
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
    """Return ``text`` as a part of an id, with a dash for what is not a letter, digit, underscore,
    dot or dash.
    """
    return re.sub(r"[^\w.-]+", "-", text).strip(".-") or "prompts"


def _list(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "nothing skipped"
