"""Which texts are one prompt. Knows characters alone.

Texts are the same when they differ in compatibility forms, capitals and white space only.
Punctuation counts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def fold(text: str) -> str:
    """The form that texts are compared in: Unicode's NFKC without case, single spaces, none at the
    ends. Folded again it stays.
    """
    caseless = unicodedata.normalize("NFD", text).casefold()
    caseless = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", caseless).casefold())
    return " ".join(caseless.split())


def first_of_each(texts: Iterable[str]) -> list[int]:
    """The position of the first of each group of texts that are the same, in order; the others are
    duplicates of one of these.
    """
    first: dict[str, int] = {}
    for position, text in enumerate(texts):
        first.setdefault(fold(text), position)
    return list(first.values())
