"""Features of pictures and texts: computed once, kept on disk, under the hash of their extractor.

    from safelatent.features import extractor, image_features
    clip = extractor("clip-vit-large-patch14")
    rows = image_features(sorted(Path("pictures").glob("*.png")), clip, Path("features"))

A stream is embedded by calling ``image_features`` with each batch of new files; without a cache,
``clip.images`` embeds pictures and ``clip.texts`` texts.

Knows files and models; does not know runs, or what the numbers are used for.
"""

from safelatent.features.embedding import Embedder, Engine
from safelatent.features.extractor import Extractor, extractor
from safelatent.features.inception import Inception, convert_inception, inception
from safelatent.features.latents import LatentDistance, latent_distance
from safelatent.features.pictures import Packed, Picture, pictures_in
from safelatent.features.reference import SCENES, Reference, read_reference, save_moments
from safelatent.features.stored import group_features, image_features

__all__ = [
    "SCENES",
    "Embedder",
    "Engine",
    "Extractor",
    "Inception",
    "LatentDistance",
    "Packed",
    "Picture",
    "Reference",
    "convert_inception",
    "extractor",
    "group_features",
    "image_features",
    "inception",
    "latent_distance",
    "pictures_in",
    "read_reference",
    "save_moments",
]
