"""The concepts that come with the package.

``DEFAULT_CONCEPT`` is the paper's (Schramowski et al., CVPR 2023, section 4): 20 terms. ``CATEGORY_CONCEPTS`` has one for each of the
seven categories of I2P, made of the paper's own terms and of the words with which I2P describes the category.
"""

from safelatent.concepts.concept import Concept
from safelatent.errors import BadValueError, nearest

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
        raise BadValueError(f"unknown category {category!r}{hint}; the categories are: {', '.join(CATEGORY_CONCEPTS)}") from None
