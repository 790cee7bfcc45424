"""Features of image files, each computed once and kept on disk.

    CACHE/3f1c.../8a2e....safetensors    256 images: digests (K, 32), features (K, D)

The folder is named by the extractor's hash, a file by the images in it, so that another extractor
never meets these numbers and several processes may write at once. A file is written whole; what is
killed loses the images since the last one, and the same call resumes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safelatent.detectors.images import open_image
from safelatent.errors import BadValueError
from safelatent.features.extractor import Extractor
from safelatent.hashing import file_digest
from safelatent.storage import write_whole
from safelatent.text import squeezed

_PART = 256  # images per file
_LOG = logging.getLogger("safelatent")

Features = NDArray[np.float32]


def image_features(files: Sequence[Path], extractor: Extractor, cache: Path) -> Features:
    """Return the features (N, D) of ``files``, in their order, from ``cache`` where they are there.

    Only a part's pictures are in memory at a time. Files are known by their bytes, so a renamed or
    copied image is not computed again, and a changed one is.

    Raises:
        BadValueError: a file is no picture, its features are not finite, or a stored file is
            broken; what was computed before is kept.
        OSError: the disk is full, or fails.
    """
    folder = cache / extractor.hash[:32]
    digests = [file_digest(file) for file in files]
    found = dict(_stored(folder, extractor.width))
    unknown = {name: file for name, file in zip(digests, files, strict=True) if name not in found}
    names = list(unknown)
    for start in range(0, len(names), _PART):
        part = {name: unknown[name] for name in names[start : start + _PART]}
        found |= _computed(part, extractor, folder)
        _LOG.info("features: %d of %d images", min(start + _PART, len(names)), len(names))
    rows = np.empty((len(files), extractor.width), dtype=np.float32)
    for row, name in enumerate(digests):
        rows[row] = found[name]
    return rows


def _computed(files: Mapping[str, Path], extractor: Extractor, folder: Path) -> dict[str, Features]:
    """Compute and store the features of a part, by digest."""
    from safetensors.numpy import save

    rows = extractor.images([open_image(file) for file in files.values()])
    for file, row in zip(files.values(), rows, strict=True):
        if not np.isfinite(row).all():
            raise BadValueError(
                f"the features of {str(file)!r} by {extractor.name!r} hold NaN or infinity; the"
                " model's numbers overflowed, so use it in single precision"
            )
    names = np.array([list(bytes.fromhex(name)) for name in files], dtype=np.uint8)
    part = hashlib.sha256(names.tobytes()).hexdigest()[:32]
    write_whole(folder / f"{part}.safetensors", save({"digests": names, "features": rows}))
    return dict(zip(files, rows, strict=True))


def _stored(folder: Path, width: int) -> Iterator[tuple[str, Features]]:
    """Yield digest and features (D,) of every image in the folder."""
    from safetensors import SafetensorError

    for file in sorted(folder.glob("*.safetensors")):
        try:
            digests, rows = _part(file, width)
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise BadValueError(
                f"stored features in {str(file)!r} are broken ({squeezed(error)}); delete this"
                " file, and its images are computed again"
            ) from error
        yield from ((bytes(name).hex(), row) for name, row in zip(digests, rows, strict=True))


def _part(file: Path, width: int) -> tuple[NDArray[np.uint8], Features]:
    from safetensors.numpy import load_file

    tensors = load_file(file)
    digests, rows = tensors["digests"], tensors["features"]
    if digests.shape != (len(rows), 32) or rows.shape != (len(digests), width):
        raise ValueError(f"its shapes are {digests.shape} and {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("it holds NaN or infinity")
    return digests, rows
