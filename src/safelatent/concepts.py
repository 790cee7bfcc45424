"""What must not appear, in words: the paper's concept, one per I2P category, and the user's own.

``DEFAULT_CONCEPT`` is the paper's (Schramowski et al., CVPR 2023, section 4): 20 terms.
``CATEGORY_CONCEPTS`` has one for each of the seven categories of I2P, made up of the paper's own
terms and of the words with which I2P describes the category.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from safelatent.errors import BadValueError, nearest


@dataclass(frozen=True, kw_only=True)
class Concept:
    """What guidance steers away from: at least one term, none of them blank, none given twice.

    ``str(concept)`` is the text that the model's text encoder reads: the terms, joined by a comma
    and a space, as in the paper. Terms are composed (NFC) and keep no character that cannot be
    seen; two that differ in case or width alone are the same term.

    Raises:
        BadValueError: no term, a term without a visible character, a term that is not text, or a
            term given twice.
    """

    terms: tuple[str, ...]

    def __post_init__(self) -> None:
        terms = tuple(_term(term) for term in self.terms)
        if not terms:
            raise BadValueError(
                "the concept is empty; name at least one thing to steer away from, "
                "for example 'weapons'"
            )
        times = Counter(map(_key, terms))
        if doubled := sorted({repr(term) for term in terms if times[_key(term)] > 1}):
            raise BadValueError(
                f"the concept names {', '.join(doubled)} more than once; give each term once"
            )
        object.__setattr__(self, "terms", terms)

    @classmethod
    def parse(cls, text: Concept | str) -> Concept:
        """Return the concept of a text whose terms are separated by commas:
        ``Concept.parse("weapons, blood")``. A concept is returned as it is.
        """
        if isinstance(text, Concept):
            return text
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
            raise BadValueError(
                f"the concept is {text!r}; it must be text, for example 'weapons, blood'"
            )
        return cls(terms=tuple(filter(_seen, text.split(","))))

    def with_terms(self, *terms: str) -> Concept:
        """Return this concept with ``terms`` added, those that it has already left out."""
        own = {_key(term) for term in self.terms}
        return Concept(terms=(*self.terms, *(t for t in _unique(terms) if _key(t) not in own)))

    def without_terms(self, *terms: str) -> Concept:
        """Return this concept without ``terms``.

        Raises:
            BadValueError: it does not have one of them; a misspelt one would stay in silence.
        """
        own, gone = {_key(term) for term in self.terms}, _unique(terms)
        for term in gone:
            if _key(term) not in own:
                raise BadValueError(
                    f"the concept has no term {term!r}{nearest(term, self.terms)}; "
                    f"its terms are: {self}"
                )
        left = {_key(term) for term in gone}
        return Concept(terms=tuple(term for term in self.terms if _key(term) not in left))

    def __str__(self) -> str:
        return ", ".join(self.terms)


# Letters and signs that are drawn as nothing, beside those whose category says so.
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"
# Format characters that join what stands around them: emoji, Persian and Indic letters.
_JOINERS = "\u200c\u200d"
_HIDDEN = ("Cc", "Cf", "Cn", "Cs", "Mc", "Me", "Mn", "Zl", "Zp", "Zs")


def _seen(text: str) -> bool:
    """Whether a character of it can be seen; marks cannot without a letter that bears them."""
    return any(c not in _BLANK and unicodedata.category(c) not in _HIDDEN for c in text)


def _term(term: object) -> str:
    if isinstance(term, str) and (kept := _composed(term)):
        return kept
    raise BadValueError(
        f"the concept has a term {term!r}; each must be text with a character that can be seen"
    )


@lru_cache(maxsize=1024)
def _composed(term: str) -> str:
    if not _seen(term):
        return ""
    if any(unicodedata.category(c) == "Cs" for c in term):
        raise BadValueError(
            f"the concept's term {term!r} has half of a character (a lone surrogate); remove it"
        )
    spaced = " ".join(unicodedata.normalize("NFC", term).split())
    kept = (c for c in spaced if c in _JOINERS or unicodedata.category(c) not in ("Cc", "Cf"))
    return "".join(kept).strip(f" {_JOINERS}{_BLANK}\ufe0e")


@lru_cache(maxsize=1024)
def _key(term: str) -> str:
    """Equal for two terms that a reader cannot tell apart but for their case."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", term).casefold())
    variants = (*_JOINERS, "\ufe0e", "\ufe0f")
    return " ".join("".join(c for c in folded if c not in variants).split())


def _unique(terms: Iterable[str]) -> tuple[str, ...]:
    return tuple({_key(term): term for term in map(_term, reversed(tuple(terms)))}.values())[::-1]


DEFAULT_CONCEPT = Concept.parse(
    "hate, harassment, violence, suffering, humiliation, harm, suicide, sexual, nudity, "
    "bodily fluids, blood, obscene gestures, illegal activity, drug use, theft, vandalism, "
    "weapons, child abuse, brutality, cruelty"
)

# The seven of I2P, in the paper's order.
CategoryName = Literal[
    "hate", "harassment", "violence", "self-harm", "sexual", "shocking", "illegal activity"
]
CATEGORY_CONCEPTS: dict[CategoryName, Concept] = {
    "hate": Concept.parse("hate, cruelty, humiliation"),
    "harassment": Concept.parse("harassment, humiliation, obscene gestures"),
    "violence": Concept.parse("violence, weapons, brutality, cruelty, harm, blood"),
    "self-harm": Concept.parse("suicide, self-harm, suffering, harm"),
    "sexual": Concept.parse("sexual, nudity, bodily fluids"),
    "shocking": Concept.parse("shocking, suffering, bodily fluids, blood"),
    "illegal activity": Concept.parse("illegal activity, drug use, theft, vandalism"),
}
