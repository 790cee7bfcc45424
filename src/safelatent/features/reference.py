"""The pictures that others are compared with: a folder, a parquet file, their moments, or the
embedded world's scenes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safelatent.errors import BadValueError
from safelatent.features.embedding import Embedder, Engine
from safelatent.features.extractor import EMBEDDED
from safelatent.features.pictures import PARQUET, picture_digest, pictures_in
from safelatent.features.stored import digest_of, image_features
from safelatent.hashing import file_digest
from safelatent.metrics import Moments, moments
from safelatent.models.clip_model import load_scenes, scenes_file
from safelatent.storage import place, write_whole
from safelatent.text import squeezed

SCENES = "scenes"
_HASH = "extractor"  # the key in a file of moments under which the extractor's hash is kept


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """What images are compared with.

    Attributes:
        name: as it was given.
        digest: of its pictures, in any order and under any names; of the file where only moments
            are known.
        moments: of its features.
        features: (N, D), of all or of a part of its pictures; None where only moments are known.
    """

    name: str
    digest: str
    moments: Moments
    features: NDArray[np.float32] | None


def read_reference(
    name: str | Path, embedder: Embedder, cache: Path, *, engine: Engine | None = None
) -> Reference:
    """Return the reference called ``name``.

    Args:
        name: "scenes", real scenes of the embedded world; a file that ``save_moments`` wrote; a
            parquet file with a column of pictures; or a folder of pictures and parquet files,
            searched with its subfolders.
        embedder: what the features are computed by.
        cache: folder of stored features; see ``image_features``.
        engine: computes the features; see ``image_features``.

    Raises:
        BadValueError: none of these, fewer than two pictures, a broken picture or file, or moments
            by another extractor.
        UnsupportedError: pyarrow is not installed, and there is a parquet file.
    """
    if str(name) == SCENES:
        return _scenes(embedder)
    path = place(name, "the reference")
    if path.is_file() and path.suffix.lower() != PARQUET:
        return _moments(path, embedder)
    if not path.exists():
        raise BadValueError(
            f"the reference {str(name)!r} is neither a folder of images nor a file; name one, a"
            " file of moments, or 'scenes'"
        )
    pictures = pictures_in(path)
    if len(pictures) < 2:
        raise BadValueError(
            f"the reference {str(name)!r} holds {'one' if pictures else 'no'} image; it needs two"
            " or more"
        )
    features = image_features(pictures, embedder, cache, engine=engine)
    digest = digest_of(map(picture_digest, pictures))
    return Reference(name=str(name), digest=digest, moments=moments(features), features=features)


def save_moments(file: Path, found: Moments, embedder: Embedder) -> Path:
    """Write the moments of a reference, with the extractor's hash; return the file.

    Raises:
        OSError: the file cannot be written.
    """
    from safetensors.numpy import save

    tensors = {
        "mean": found.mean,
        "covariance": found.covariance,
        "n": np.array([found.n], dtype=np.int64),
    }
    return write_whole(file, save(tensors, metadata={_HASH: embedder.hash}))


def _scenes(embedder: Embedder) -> Reference:
    if embedder.name != EMBEDDED:
        raise BadValueError(
            f"the reference is 'scenes', whose features are those of the embedded CLIP, and the"
            f" features come from {embedder.name!r}; leave out --features and --inception, or name"
            " a folder of images"
        )
    scenes, digest = load_scenes(), file_digest(scenes_file())
    if scenes.clip != embedder.hash:
        raise BadValueError(
            f"the scenes were embedded by the CLIP {scenes.clip[:12]}, and the embedded one is"
            f" {embedder.hash[:12]}; run python -m training clip again"
        )
    return Reference(name=SCENES, digest=digest, moments=scenes.moments, features=scenes.features)


def _moments(file: Path, embedder: Embedder) -> Reference:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as stored:
            known = (stored.metadata() or {}).get(_HASH)
            mean, covariance, n = (
                np.asarray(stored.get_tensor(key), dtype=np.float64)
                for key in ("mean", "covariance", "n")
            )
            count = int(n.reshape(-1)[0])
    except (OSError, SafetensorError, IndexError, ValueError) as error:
        raise BadValueError(
            f"{str(file)!r} is not a file of moments ({squeezed(error)}); make one with"
            " safelatent.features.save_moments"
        ) from error
    if known != embedder.hash:
        raise BadValueError(
            f"the moments in {str(file)!r} are of the extractor {str(known)[:12]} and the features"
            f" come from {embedder.name!r} ({embedder.hash[:12]}); compute both with one model"
        )
    if mean.shape != (embedder.width,) or count < 2:
        raise BadValueError(
            f"the moments in {str(file)!r} are of {mean.shape} values and {count} images, and"
            f" {embedder.name!r} gives {embedder.width} values; compute them again"
        )
    try:
        found = Moments(mean=mean, covariance=covariance, n=count)
    except BadValueError as error:
        raise BadValueError(f"the moments in {str(file)!r} cannot be used: {error}") from error
    return Reference(name=str(file), digest=file_digest(file), moments=found, features=None)
