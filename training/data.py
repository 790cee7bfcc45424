"""What the model learns from: scenes with their captions, ours and other people's."""

import numpy as np

from training.captions import caption
from training.scenes import Scene, random_scene
from training.texts import TextPool

TEXT_SHARE = 0.35  # of scenes: the caption is a text that is not ours
EMPTY_SHARE = 0.1  # of captions


def example(
    rng: np.random.Generator, pool: TextPool, empty: float = EMPTY_SHARE
) -> tuple[Scene, str]:
    """A scene and its caption: ours, or a text whose nearest known things the scene holds, or none
    in a share ``empty`` of cases.
    """
    if rng.random() < TEXT_SHARE:
        scene, text = pool.scene(rng)
    else:
        scene = random_scene(rng)
        text = caption(rng, scene)
    return scene, "" if rng.random() < empty else text
