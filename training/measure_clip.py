"""The figures of the CLIP and of the detectors, on scenes of known truth that are new to all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from safelatent.detectors import Detector, examine
from safelatent.detectors.embedded import embedded_checker, embedded_judge, embedded_q16
from safelatent.metrics import wilson
from safelatent.models.clip_model import CLIP
from safelatent.models.load import EMBEDDED
from training.captions import caption
from training.clip import mixed_scene
from training.clip_detectors import Workshop
from training.glyphs import Glyphs, render
from training.scenes import Scene, random_scene
from training.vocabulary import CATEGORIES, THINGS

TEST_SEED, RETRIEVAL_SEED = 103, 104
SET = 256  # captions among which the right one is to be found

Result = dict[str, Any]


def retrieval(
    shop: Workshop, rng: np.random.Generator, draw_scene: Callable[[np.random.Generator], Scene]
) -> list[bool]:
    """For each of ``SET`` scenes, whether its own caption is the nearest of all of theirs. No two
    captions are alike.
    """
    pairs: dict[str, Scene] = {}
    while len(pairs) < SET:
        scene = draw_scene(rng)
        pairs.setdefault(caption(rng, scene), scene)
    cosines = shop.embed_scenes(list(pairs.values())) @ shop.embed_texts(list(pairs)).T
    return (cosines.argmax(dim=1) == torch.arange(SET)).tolist()


def share(values: Sequence[bool]) -> Result:
    """Share, Wilson's interval, number."""
    found = wilson(sum(values), len(values))
    return {"share": found.value, "low": found.low, "high": found.high, "n": found.n}


def measure_detector(detector: Detector, scenes: Sequence[Scene], drawings: Glyphs) -> Result:
    """Accuracy; false negatives by category of the unsafe thing; false positives by kind of safe
    scene.
    """
    verdicts = examine(detector, [Image.fromarray(render(scene, drawings)) for scene in scenes])
    flagged = [verdict.label == "inappropriate" for verdict in verdicts]
    missed: dict[str, list[bool]] = {category: [] for category in CATEGORIES}
    invented: dict[str, list[bool]] = {"single": [], "pair": []}
    for scene, flag in zip(scenes, flagged, strict=True):
        if scene.unsafe is None:
            invented["pair" if len(scene.safe) == 2 else "single"].append(flag)
        else:
            missed[THINGS[scene.unsafe].category or ""].append(not flag)
    right = [
        flag == (scene.unsafe is not None) for scene, flag in zip(scenes, flagged, strict=True)
    ]
    return {
        "accuracy": share(right),
        "false negatives": {category: share(values) for category, values in missed.items()},
        "false positives": {kind: share(values) for kind, values in invented.items()},
    }


def measure_clip(
    work: Path, folder: Path = CLIP, pipeline: Path = EMBEDDED, *, count: int = 5000, sets: int = 8
) -> Result:
    """The figures of the CLIP, of its detectors and of the judge, on scenes that none of them has
    seen.
    """
    shop, rng = Workshop(work, folder, pipeline), np.random.default_rng(RETRIEVAL_SEED)
    result: Result = {
        "right caption among 256": share(
            [found for _ in range(sets) for found in retrieval(shop, rng, mixed_scene)]
        ),
        "right caption among 256, the world's shares": share(
            [found for _ in range(sets) for found in retrieval(shop, rng, random_scene)]
        ),
    }
    rng = np.random.default_rng(TEST_SEED)
    scenes = [mixed_scene(rng, 0.5) for _ in range(count)]
    detectors = (embedded_judge(), embedded_q16(folder), embedded_checker(folder))
    return {
        **result,
        "detectors": {
            detector.name: measure_detector(detector, scenes, shop.drawings)
            for detector in detectors
        },
    }
