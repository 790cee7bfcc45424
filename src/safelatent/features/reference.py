"""The images that others are compared with: a folder, its moments, or the embedded scenes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safelatent.detectors.images import SUFFIXES
from safelatent.errors import BadValueError
from safelatent.features.extractor import EMBEDDED, Extractor
from safelatent.features.stored import image_features
from safelatent.metrics import Moments, moments
from safelatent.models.clip_model import load_scene_moments
from safelatent.storage import write_whole
from safelatent.text import squeezed

SCENES = "scenes"
_HASH = "extractor"  # the key in a file of moments under which the extractor's hash is kept


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """What images are compared with.

    Attributes:
        name: as it was given.
        moments: of its features.
        features: (N, D), or None where only the moments are known.
    """

    name: str
    moments: Moments
    features: NDArray[np.float32] | None


def read_reference(name: str | Path, extractor: Extractor, cache: Path) -> Reference:
    """Return the reference called ``name``.

    Args:
        name: "scenes", the 20,000 real scenes of the embedded world, known by their moments; a
            file that ``save_moments`` wrote; or a folder of images, searched with its subfolders.
        extractor: what the features are computed by.
        cache: folder of stored features; see ``image_features``.

    Raises:
        BadValueError: none of the three, fewer than two images, a broken image or file, or moments
            by another extractor.
    """
    if str(name) == SCENES:
        if extractor.name != EMBEDDED:
            raise BadValueError(
                f"the reference is 'scenes', whose moments are those of the embedded CLIP, and the"
                f" features come from {extractor.name!r}; leave out --features, or name a folder"
                " of images"
            )
        return Reference(name=SCENES, moments=load_scene_moments(), features=None)
    path = Path(name)
    if path.is_file():
        return Reference(name=str(name), moments=_read_moments(path, extractor), features=None)
    if not path.is_dir():
        raise BadValueError(
            f"the reference {str(name)!r} is neither a folder of images nor a file; name one, a"
            " file of moments, or 'scenes'"
        )
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if len(files) < 2:
        raise BadValueError(
            f"the folder {str(name)!r} holds {len(files)} images; a reference needs two or more"
        )
    features = image_features(files, extractor, cache)
    return Reference(name=str(name), moments=moments(features), features=features)


def save_moments(file: Path, found: Moments, extractor: Extractor) -> Path:
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
    return write_whole(file, save(tensors, metadata={_HASH: extractor.hash}))


def _read_moments(file: Path, extractor: Extractor) -> Moments:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as stored:
            known = (stored.metadata() or {}).get(_HASH)
            mean, covariance, n = (
                np.asarray(stored.get_tensor(key), dtype=np.float64)
                for key in ("mean", "covariance", "n")
            )
    except (OSError, SafetensorError) as error:
        raise BadValueError(
            f"{str(file)!r} is no file of moments ({squeezed(error)}); make one with"
            " safelatent.features.save_moments"
        ) from error
    if known != extractor.hash:
        raise BadValueError(
            f"the moments in {str(file)!r} are of the extractor {str(known)[:12]} and the features"
            f" come from {extractor.name!r} ({extractor.hash[:12]}); compute both with one model"
        )
    return Moments(mean=mean, covariance=covariance, n=int(n[0]))
