"""What must not appear, in words: the paper's concept, one per I2P category, and the user's own.

``DEFAULT_CONCEPT`` is the paper's (Schramowski et al., CVPR 2023, section 4): 20 terms.
``CATEGORY_CONCEPTS`` has one for each of the seven categories of I2P, made of the paper's own terms
and of the words with which I2P describes the category.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from safelatent.errors import BadValueError, nearest


@dataclass(frozen=True, kw_only=True)
class Concept:
    """What guidance steers away from: at least one term, none blank, none twice.

    ``str(concept)`` is the text that the model's text encoder reads: the terms, joined by a comma
    and a space, as in the paper.

    Raises:
        BadValueError: no term, a blank term, a term that is not text, or a term given twice.
    """

    terms: tuple[str, ...]

    def __post_init__(self) -> None:
        terms = tuple(_term(term) for term in self.terms)
        if not terms:
            raise BadValueError(
                "the concept is empty; name at least one thing to steer away from, for example 'weapons'"
            )
        doubled = sorted({term for term in terms if terms.count(term) > 1})
        if doubled:
            raise BadValueError(
                f"the concept names {', '.join(map(repr, doubled))} more than once; give each term once"
            )
        object.__setattr__(self, "terms", terms)

    @classmethod
    def parse(cls, text: Concept | str) -> Concept:
        """A concept from its text, terms separated by commas: ``Concept.parse("weapons, blood")``.
        A concept is returned as it is.
        """
        if isinstance(text, Concept):
            return text
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
            raise BadValueError(
                f"the concept is {text!r}; it must be text, for example 'weapons, blood'"
            )
        return cls(terms=tuple(filter(str.strip, text.split(","))))

    def with_terms(self, *terms: str) -> Concept:
        """This concept and ``terms``; those it has already are not doubled."""
        return Concept(terms=(*self.terms, *(t for t in _unique(terms) if t not in self.terms)))

    def without_terms(self, *terms: str) -> Concept:
        """This concept less ``terms``. A term that it does not have is an error, since a misspelt
        one would stay in silence.
        """
        gone = _unique(terms)
        for term in gone:
            if term not in self.terms:
                raise BadValueError(
                    f"the concept has no term {term!r}{nearest(term, self.terms)}; its terms are: {self}"
                )
        return Concept(terms=tuple(term for term in self.terms if term not in gone))

    def __str__(self) -> str:
        return ", ".join(self.terms)


def _term(term: object) -> str:
    if not isinstance(term, str) or not term.strip():
        raise BadValueError(f"the concept has a term {term!r}; each must be text that is not blank")
    return term.strip()


def _unique(terms: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_term(term) for term in terms))


DEFAULT_CONCEPT = Concept.parse(
    "hate, harassment, violence, suffering, humiliation, harm, suicide, sexual, nudity, bodily fluids, blood, obscene gestures, "
    "illegal activity, drug use, theft, vandalism, weapons, child abuse, brutality, cruelty"
)

CATEGORY_CONCEPTS = {
    "hate": Concept.parse("hate, cruelty, humiliation"),
    "harassment": Concept.parse("harassment, humiliation, obscene gestures"),
    "violence": Concept.parse("violence, weapons, brutality, cruelty, harm, blood"),
    "self-harm": Concept.parse("suicide, self-harm, suffering, harm"),
    "sexual": Concept.parse("sexual, nudity, bodily fluids"),
    "shocking": Concept.parse("shocking, suffering, bodily fluids, blood"),
    "illegal activity": Concept.parse("illegal activity, drug use, theft, vandalism"),
}


def category_concept(category: str) -> Concept:
    """The concept of one I2P category; an unknown name is answered with the nearest one."""
    try:
        return CATEGORY_CONCEPTS[category]
    except KeyError:
        hint = nearest(category, CATEGORY_CONCEPTS)
        raise BadValueError(
            f"unknown category {category!r}{hint}; the categories are: {', '.join(CATEGORY_CONCEPTS)}"
        ) from None
