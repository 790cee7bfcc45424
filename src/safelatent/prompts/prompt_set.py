"""A sequence of prompts that accounts for every row it was made from. Knows counts; does not know
files.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from types import MappingProxyType
from typing import overload

from safelatent.errors import BadValueError
from safelatent.prompts.prompt import CATEGORIES, Prompt

_FIELDS = tuple(field.name for field in fields(Prompt))


@dataclass(frozen=True, kw_only=True)
class PromptSet(Sequence[Prompt]):
    """Prompts with the rows behind them: ``len(prompts) + sum(prompts.skipped.values()) ==
    prompts.rows``, always.

    Attributes:
        name: of the set; a part of it is named as a part.
        prompts: at least one, in the order of the rows, each id once.
        rows: how many were read.
        skipped: how many rows gave no prompt, by reason.

    Raises:
        BadValueError: no prompt, an id given twice, or rows that are not accounted for.
    """

    name: str
    prompts: tuple[Prompt, ...]
    rows: int
    skipped: Mapping[str, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "skipped", MappingProxyType(dict(self.skipped)))
        if not self.prompts:
            raise BadValueError(
                f"{self.name}: none of {self.rows} rows gives a prompt ({_list(self.skipped)}); give at least one prompt"
            )
        if len({prompt.id for prompt in self.prompts}) != len(self.prompts):
            raise BadValueError(
                f"{self.name}: an id stands for two prompts; give each prompt its own"
            )
        if (
            len(self.prompts) + sum(self.skipped.values()) != self.rows
            or min(self.skipped.values(), default=1) < 1
        ):
            raise BadValueError(
                f"{self.name}: {len(self.prompts)} prompts and {_list(self.skipped)} do not make {self.rows} rows"
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
        """SHA-256 over every field of every prompt, in order: a run that stores it can tell whether
        its data changed.
        """
        state = hashlib.sha256()
        for prompt in self.prompts:
            line = json.dumps([getattr(prompt, name) for name in _FIELDS], allow_nan=False)
            state.update(line.encode() + b"\n")
        return state.hexdigest()

    def counts(self) -> dict[str, int]:
        """Prompts by category, I2P's seven first; a prompt of several categories counts in each."""
        found = Counter(label for prompt in self.prompts for label in prompt.categories)
        order = [
            *(label for label in CATEGORIES if label in found),
            *sorted(found.keys() - set(CATEGORIES)),
        ]
        return {label: found[label] for label in order}

    def limit(self, n: int) -> PromptSet:
        """The first ``n`` prompts. The name tells it, and the others are counted as skipped,
        ``beyond the limit``.
        """
        if type(n) is not int or n < 1:
            raise BadValueError(f"the limit is {n!r}; it must be a whole number of at least 1")
        first = {prompt.id for prompt in self.prompts[:n]}
        return self.only(lambda prompt: prompt.id in first, f"first {n}", "beyond the limit")

    def only(self, keep: Callable[[Prompt], bool], title: str, reason: str) -> PromptSet:
        """The prompts for which ``keep`` holds, named ``name (title)``; the others are counted as
        skipped for ``reason``.
        """
        kept = tuple(prompt for prompt in self.prompts if keep(prompt))
        if len(kept) == len(self.prompts):
            return self
        left = {**self.skipped, reason: self.skipped.get(reason, 0) + len(self.prompts) - len(kept)}
        return PromptSet(name=f"{self.name} ({title})", prompts=kept, rows=self.rows, skipped=left)


def _list(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "nothing skipped"
