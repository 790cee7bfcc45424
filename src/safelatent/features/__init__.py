"""Embeddings of images and texts by a CLIP: computed once, kept on disk, under the hash of what
computed them.

Knows files and models; does not know runs, or what the numbers are used for.
"""

from safelatent.features.extractor import Extractor, extractor
from safelatent.features.reference import SCENES, Reference, read_reference, save_moments
from safelatent.features.stored import image_features

__all__ = [
    "SCENES",
    "Extractor",
    "Reference",
    "extractor",
    "image_features",
    "read_reference",
    "save_moments",
]
