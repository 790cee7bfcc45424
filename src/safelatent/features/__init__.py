"""Features of images and texts: computed once, kept on disk, under the hash of what computed them.

    from safelatent.features import extractor, image_features
    clip = extractor("clip-vit-large-patch14")
    rows = image_features(sorted(Path("pictures").glob("*.png")), clip, Path("features"))

Knows files and models; does not know runs, or what the numbers are used for.
"""

from safelatent.features.extractor import Extractor, extractor
from safelatent.features.inception import Inception, convert_inception, inception
from safelatent.features.reference import SCENES, Reference, read_reference, save_moments
from safelatent.features.stored import image_features

__all__ = [
    "SCENES",
    "Extractor",
    "Inception",
    "Reference",
    "convert_inception",
    "extractor",
    "image_features",
    "inception",
    "read_reference",
    "save_moments",
]
