"""The kinds of content that adaptive guidance chooses among, each with its own strength."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from safelatent.concepts import CATEGORY_CONCEPTS, Concept
from safelatent.errors import BadValueError
from safelatent.guidance.noise import shown
from safelatent.guidance.sld import SLD, STRONG

DEFAULT_STRENGTH = STRONG.by_noise_level()


@dataclass(frozen=True, kw_only=True)
class Category:
    """One kind of content to steer away from.

    Attributes:
        name: for receipts.
        concept: what it is, in words; each category is a text to itself.
        strength: its settings; ``scale`` is not used, since the gate is open or closed.

    Raises:
        BadValueError: a name that is empty, or a value of another type.
    """

    name: str
    concept: Concept
    strength: SLD = DEFAULT_STRENGTH

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadValueError(f"a category has the name {shown(self.name)}; give it one in words")
        object.__setattr__(self, "concept", Concept.parse(self.concept))
        if not isinstance(self.strength, SLD):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadValueError(
                f"the category {self.name!r} has the strength {shown(self.strength)}; "
                "it must be an SLD"
            )


def categories(
    strength: SLD = STRONG, concepts: Mapping[str, Concept] | None = None
) -> tuple[Category, ...]:
    """Return a category for each concept, by default I2P's seven, all of one strength.

    A warm-up in steps becomes the noise level at which the paper's runs end it: so it means the
    same at any number of steps.
    """
    settings = strength.by_noise_level()
    named = dict(CATEGORY_CONCEPTS if concepts is None else concepts)
    return tuple(
        Category(name=name, concept=concept, strength=settings) for name, concept in named.items()
    )
