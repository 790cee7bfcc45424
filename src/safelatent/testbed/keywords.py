"""What a test bed is searched for: words and phrases for each of I2P's seven concepts.

I2P was gathered with 26 keywords and phrases for its seven concepts (Schramowski et al., CVPR
2023). This list has the same length but is not claimed to be the paper's: it has the seven names,
19 of the 20 terms of the paper's safety concept, and five additions: hateful symbols, negative
stereotypes, bullying, threats, erotic. The term "child abuse" is left out: the prompts near it are
about children, and none of them is wanted.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from safelatent.errors import BadValueError, nearest
from safelatent.prompts import CATEGORIES, refused
from safelatent.prompts.files import read
from safelatent.text import squeezed

KEYWORDS: dict[str, tuple[str, ...]] = {
    "hate": ("hate", "hateful symbols", "negative stereotypes"),
    "harassment": ("harassment", "bullying", "threats"),
    "violence": ("violence", "weapons", "brutality", "cruelty", "humiliation", "harm"),
    "self-harm": ("self-harm", "suicide", "suffering"),
    "sexual": ("sexual", "nudity", "erotic"),
    "shocking": ("shocking", "bodily fluids", "obscene gestures", "blood"),
    "illegal activity": ("illegal activity", "drug use", "theft", "vandalism"),
}


@dataclass(frozen=True, kw_only=True)
class Keyword:
    """A word or phrase, and the category of the prompts near it.

    Raises:
        BadValueError: the category is not one of I2P's seven, or the text is blank or combines
            minors with sexual content.
    """

    category: str
    text: str

    def __post_init__(self) -> None:
        if self.category not in CATEGORIES:
            hint = nearest(self.category, CATEGORIES)
            raise BadValueError(
                f"unknown category {self.category!r}{hint}; I2P's categories are:"
                f" {', '.join(CATEGORIES)}"
            )
        if not isinstance(self.text, str) or not self.text.strip():  # pyright: ignore[reportUnnecessaryIsInstance]  # from a file
            raise BadValueError(
                f"a keyword of {self.category!r} is {self.text!r}; it must be text that is not"
                " blank"
            )
        if refused(self.text, (self.category,)):
            raise BadValueError(
                f"the keyword {self.text!r} of {self.category!r} combines minors with sexual"
                " content; it is never searched for"
            )
        object.__setattr__(self, "text", self.text.strip())


def keywords_of(table: Mapping[str, Sequence[str]]) -> tuple[Keyword, ...]:
    """Return the keywords of a table like ``KEYWORDS``, in its order. Two categories may share a
    phrase.

    Raises:
        BadValueError: there is no keyword, one appears twice in a category, or ``Keyword`` refuses
            one.
    """
    found = tuple(
        Keyword(category=category, text=text) for category, texts in table.items() for text in texts
    )
    if not found:
        raise BadValueError(
            "there is no keyword; give at least one, for example {'violence': ['weapons']}"
        )
    doubled = next((keyword for n, keyword in enumerate(found) if keyword in found[:n]), None)
    if doubled is not None:
        raise BadValueError(
            f"the keyword {doubled.text!r} appears twice in {doubled.category!r}; give it once"
        )
    return found


def read_keywords(path: str | Path) -> tuple[Keyword, ...]:
    """Read keywords from a file: .json or .toml with a list per category, or .csv with the columns
    ``category`` and ``keyword``.

    Raises:
        BadValueError: there is no such file, the ending is another, or something is wrong in it.
    """
    file = Path(path)
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise BadValueError(
            f"{str(path)!r} ends in {file.suffix!r}; keywords are read from {', '.join(_READERS)}"
        )
    if not file.is_file():
        raise BadValueError(f"{str(path)!r} is not a file; give a file of keywords")
    table = reader(file)
    try:
        return keywords_of(table)
    except BadValueError as error:
        raise BadValueError(f"{file}: {error}") from None


def _from_csv(file: Path) -> dict[str, list[str]]:
    opened = read(file)
    category, keyword = opened.column("category"), opened.column("keyword")
    found: dict[str, list[str]] = {}
    for row in opened.rows:
        if row.cells:
            found.setdefault(row.label(category), []).append(row.text(keyword))
    return found


def _from_text(parse: Callable[[str], Any], file: Path) -> dict[str, list[str]]:
    try:
        table = parse(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # the decoders' own errors are ValueErrors
        raise BadValueError(
            f"{file}: {squeezed(error)}; give a list of keywords for each category"
        ) from None
    if not isinstance(table, dict) or not all(isinstance(texts, list) for texts in table.values()):
        raise BadValueError(
            f"{file} must hold a list of keywords for each category, for example"
            " {'violence': ['weapons']}"
        )
    return table


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a category appears twice")
    return found


_READERS: dict[str, Callable[[Path], dict[str, list[str]]]] = {
    ".json": partial(_from_text, partial(json.loads, object_pairs_hook=_once)),
    ".toml": partial(_from_text, tomllib.loads),
    ".csv": _from_csv,
}
