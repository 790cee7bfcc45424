"""What must not appear, in words: the paper's concept, one for each I2P category, and the user's own."""

from safelatent.concepts.catalogue import CATEGORY_CONCEPTS, DEFAULT_CONCEPT, category_concept
from safelatent.concepts.concept import Concept

__all__ = ["CATEGORY_CONCEPTS", "DEFAULT_CONCEPT", "Concept", "category_concept"]
