"""How far a guarded image is from the unguarded one of the same prompt and noise. Knows pixels; does not know how images are made."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from safelatent.runs.store import Store, image_file


def rms_distance(first: bytes, second: bytes) -> float | None:
    """Root mean square difference of two PNG images, in [0, 1]; None where their sizes differ."""
    a, b = (np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.float64) / 255 for png in (first, second))
    return float(np.sqrt(np.mean((a - b) ** 2))) if a.shape == b.shape else None


def fill_distances(store: Store, methods: Sequence[str]) -> None:
    """Give every item that lacks one its distance to the unguarded image, where that is done. Cheap after every batch."""
    if "off" not in methods:
        return
    found: dict[str, float | None] = {}
    for key, prompt_id, image in store.without_distance([method for method in methods if method != "off"]):
        unguarded = store.key_of(prompt_id, image, "off")
        if unguarded is not None:
            pngs = [image_file(store.folder, one).read_bytes() for one in (unguarded, key)]
            found[key] = rms_distance(pngs[0], pngs[1])
    store.set_distances(found)
