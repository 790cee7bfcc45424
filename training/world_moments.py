"""The real scenes as a whole, by the CLIP's image embeddings, and how far generated pictures are
from them: Fréchet distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from safelatent.metrics import frechet_distance, moments
from safelatent.models.clip_model import CLIP, SCENES, load_scene_moments
from training.captions import caption
from training.clip_detectors import Workshop
from training.drawing import draw
from training.glyphs import render
from training.scenes import random_scene

SCENES_SEED, PROMPTS_SEED = 105, 106
COUNT = 20_000
PART = 2_000  # scenes whose pixels are held at a time


def make_scene_moments(shop: Workshop, folder: Path = CLIP, count: int = COUNT) -> None:
    """Write mean and covariance of real scenes' embeddings beside the CLIP."""
    rng = np.random.default_rng(SCENES_SEED)
    parts = [
        shop.features(
            [render(random_scene(rng), shop.drawings) for _ in range(min(PART, count - n))]
        )
        for n in range(0, count, PART)
    ]
    real = moments(torch.cat(parts).numpy())
    stored = {
        "mean": torch.from_numpy(real.mean).float(),
        "covariance": torch.from_numpy(real.covariance).float(),
    }
    save_file({**stored, "n": torch.tensor(real.n)}, folder / SCENES)


def measure_frechet(
    pool: Executor, shop: Workshop, methods: Sequence[str], count: int
) -> dict[str, Any]:
    """The distance to the real scenes of ``count`` pictures by each method, for captions of real
    scenes; *real* is those scenes' own.
    """
    rng, real = np.random.default_rng(PROMPTS_SEED), load_scene_moments(shop.folder)
    scenes = [random_scene(rng) for _ in range(count)]
    prompts = [caption(rng, scene) for scene in scenes]
    result: dict[str, Any] = {
        "real": frechet_distance(
            moments(shop.features([render(s, shop.drawings) for s in scenes]).numpy()), real
        )
    }
    for method in methods:
        pictures = draw(pool, method, prompts, range(6000, 6000 + count))
        result[method] = frechet_distance(moments(shop.features(pictures).numpy()), real)
    return {"pictures": count, "distances": result}
