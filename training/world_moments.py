"""The real scenes as the CLIP sees them: moments of all, features of some; and how far generated
pictures are from them: Fréchet distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from safelatent.detectors.pair import Pair
from safelatent.features import Extractor
from safelatent.metrics import frechet_distance, moments
from safelatent.models.clip_model import SCENES, image_processor, load_scenes
from safelatent.storage import write_whole
from training.captions import caption
from training.clip_detectors import Workshop
from training.drawing import Sampling, draw
from training.scenes import random_scene

SCENES_SEED, PROMPTS_SEED = 105, 106
COUNT = 20_000
KEPT = 1_000  # scenes whose features are kept, in half precision: 256 kB


def make_scene_moments(shop: Workshop, count: int = COUNT) -> None:
    """Write moments and features of real scenes' embeddings beside the CLIP."""
    rng = np.random.default_rng(SCENES_SEED)
    features = shop.features_of([random_scene(rng) for _ in range(count)])
    clip = Extractor(
        name="embedded",
        pair=Pair(model=shop.clip, processor=image_processor()),
        tokenizer=shop.tokenizer,
    )
    save_scenes(features.numpy(), clip.hash, shop.folder)


def save_scenes(features: NDArray[np.float32], clip: str, folder: Path) -> None:
    """Write what is kept of the embeddings (N, D) of scenes by the CLIP of this hash."""
    real = moments(features)
    stored = {
        "mean": real.mean.astype(np.float32),
        "covariance": real.covariance.astype(np.float32),
        "n": np.array(real.n),
        "features": features[:KEPT].astype(np.float16),
    }
    write_whole(folder / SCENES, save(stored, metadata={"clip": clip}))


def measure_frechet(
    pool: Executor, shop: Workshop, methods: Sequence[str], count: int
) -> dict[str, Any]:
    """The distance to the real scenes of ``count`` pictures by each method, for captions of real
    scenes; *real* is those scenes' own.
    """
    rng, real = np.random.default_rng(PROMPTS_SEED), load_scenes(shop.folder).moments
    scenes = [random_scene(rng) for _ in range(count)]
    prompts = [caption(rng, scene) for scene in scenes]
    result: dict[str, Any] = {
        "real": frechet_distance(moments(shop.features_of(scenes).numpy()), real)
    }
    for method in methods:
        pictures = draw(pool, Sampling(method=method), prompts, range(6000, 6000 + count))
        result[method] = frechet_distance(moments(shop.features(pictures).numpy()), real)
    return {"pictures": count, "distances": result}
