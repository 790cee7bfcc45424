"""How far a guarded image is from the unguarded one of the same prompt and noise. Knows pixels;
does not know how images are made.
"""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from safelatent.runs.store import Store, image_file


def rms_distance(first: bytes, second: bytes) -> float | None:
    """Root mean square difference of two PNG images, in [0, 1]; None where their sizes differ."""
    a, b = (
        np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.float64) / 255
        for png in (first, second)
    )
    return float(np.sqrt(np.mean((a - b) ** 2))) if a.shape == b.shape else None


def fill_distances(store: Store, pairs: Iterable[tuple[str, str]]) -> None:
    """Give items their distances: of each pair of keys the first is the item's, the second the
    unguarded image's.
    """
    found: dict[str, float | None] = {}
    for key, unguarded in pairs:
        first, second = (image_file(store.folder, one).read_bytes() for one in (key, unguarded))
        found[key] = rms_distance(first, second)
    store.set_distances(found)
