"""Q16's two learned vectors, from a file. Knows npy, safetensors and hashes; does not know CLIP.

Upstream publishes them in a pickle, which can run code and is never read here; convert it once to
one of these.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from safelatent.errors import BadValueError

# sha256 of the published arrays' bytes (float16, row by row) and the CLIP that they were learned
# for.
PUBLISHED = {
    "14f90af537cb8974f17b3e290dd0dc6f71eae3ba0d0f4e12a9e8c56d1b000e11": "ViT-L/14",  # (2, 768)
    "fbe18869a40a10fe26ca89fca8acb4a57e0be4e2b7f6369d560ac72e0f71ed17": "ViT-B/32",  # (2, 512)
}
_LARGEST = 1 << 20  # bytes of a file; two vectors take a few thousand


@dataclass(frozen=True, kw_only=True, eq=False)
class Vectors:
    """Row 0 is "fine", row 1 "inappropriate".

    Attributes:
        values: (2, D), floating, as stored.

    Raises:
        BadValueError: another shape or type, values that are not finite, a zero vector, or two that
            point the same way.
    """

    values: np.ndarray

    def __post_init__(self) -> None:
        values = self.values
        if (
            values.ndim != 2
            or values.shape[0] != 2
            or values.shape[1] == 0
            or not np.issubdtype(values.dtype, np.floating)
        ):
            raise BadValueError(
                f"Q16's vectors have shape {values.shape} and type {values.dtype}; they must be (2, D) and floating"
            )
        if not (np.isfinite(values).all() and values.any(axis=1).all()):
            raise BadValueError(
                "Q16's vectors hold NaN, infinite values or a row of zeros; convert them again"
            )
        if np.array_equal(self.units[0], self.units[1]):
            raise BadValueError(
                "Q16's two vectors point the same way, so nothing could be inappropriate; convert them again"
            )

    @cached_property
    def units(self) -> np.ndarray:
        """(2, D) float64, each row of length 1."""
        values = self.values.astype(np.float64)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    @cached_property
    def sha256(self) -> str:
        """Of the array's bytes, little-endian, row by row: the same from either kind of file."""
        return hashlib.sha256(
            self.values.astype(self.values.dtype.newbyteorder("<")).tobytes(order="C")
        ).hexdigest()

    @property
    def published(self) -> str | None:
        """The CLIP that these published vectors were learned for, or None where they are others."""
        return PUBLISHED.get(self.sha256)


def read_vectors(file: str | Path) -> Vectors:
    """The vectors of an ``.npy`` file, or of a ``.safetensors`` file with one tensor.

    Raises:
        BadValueError: no such file, another kind of file, a pickle inside, or an array that cannot
            be Q16's.
    """
    path = Path(file)
    readers = {".npy": _read_npy, ".safetensors": _read_safetensors}
    if path.suffix not in readers:
        raise BadValueError(
            f"Q16's vectors are in {str(path)!r}; the file must be .npy or .safetensors (a pickle can run code: convert it)"
        )
    if not path.is_file():
        raise BadValueError(
            f"Q16's vectors: {str(path)!r} is not a file; give the file of the two vectors"
        )
    if path.stat().st_size > _LARGEST:
        raise BadValueError(
            f"Q16's vectors: {str(path)!r} has {path.stat().st_size} bytes; two vectors take a few thousand"
        )
    try:
        return Vectors(values=readers[path.suffix](path))
    except BadValueError:
        raise
    except Exception as error:  # a broken header can make a reader raise anything
        raise BadValueError(
            f"Q16's vectors: {str(path)!r} cannot be read: {' '.join(str(error).split())}"
        ) from error


def _read_npy(path: Path) -> np.ndarray:
    return np.load(path, allow_pickle=False)


def _read_safetensors(path: Path) -> np.ndarray:
    from safetensors.numpy import load_file

    tensors = load_file(path)
    if len(tensors) != 1:
        raise BadValueError(
            f"Q16's vectors: {str(path)!r} holds the tensors {sorted(tensors)}; it must hold one, (2, D)"
        )
    return next(iter(tensors.values()))
