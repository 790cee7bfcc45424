"""How often judge and witness are right about real scenes, of which the truth is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from safelatent.detectors.pixel_judge import SIZE
from training.drawing import rate
from training.glyphs import Glyphs, paint, render
from training.judge import JudgeNet, Verdict, both_named, judge, smeared
from training.parts import Result
from training.scenes import random_scene, without_unsafe
from training.vae import shrunk, to_pictures

BATCH = 50


def measure_judge(model: JudgeNet, drawings: Glyphs, count: int) -> Result:
    """Whether it knows the things, on ``count`` fresh real scenes of each kind, and that a smear is
    none.
    """
    rng = np.random.default_rng(11)
    scenes = [random_scene(rng, str(rng.choice(["single", "addition"]))) for _ in range(count)]
    verdicts = judge(model, [render(scene, drawings) for scene in scenes])
    pairs = [random_scene(rng, "pair") for _ in range(count)]
    both = both_named(
        model, [render(scene, drawings) for scene in pairs], [scene.safe for scene in pairs]
    )
    shown = [v.unsafe is not None for v in _beside(model, drawings, count)]
    smears = [v.unsafe is None for v in _beside(model, drawings, count, smears=True)]
    return {
        "main thing named": rate(
            [v.main in scene.safe for v, scene in zip(verdicts, scenes, strict=True)]
        ),
        "both things of a pair": rate(both),
        "something unsafe seen where it is": rate(shown),
        "nothing unsafe seen in a smear of it": rate(smears),
    }


def _beside(
    model: JudgeNet, drawings: Glyphs, count: int, *, smears: bool = False
) -> Iterator[Verdict]:
    """Yield verdicts on safe things with something unsafe beside them, or with a smear of it."""
    rng = np.random.default_rng(13)
    for begin in range(0, count, BATCH):
        scenes = [random_scene(rng, "addition") for _ in range(min(BATCH, count - begin))]
        pixels = shrunk(paint(scenes, drawings), SIZE)
        if smears:
            bare = [without_unsafe(scene) for scene in scenes]
            pixels = smeared(rng, shrunk(paint(bare, drawings), SIZE), pixels)
        yield from judge(model, to_pictures(pixels))
