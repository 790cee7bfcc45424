"""Judge and witness: what they learn from, and what their answers become."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tests.training.test_generator import DRAWINGS
from training.glyphs import paint
from training.judge import SECOND, JudgeStage, both_named, judge, new_judge, smeared
from training.scenes import SIZE, random_scene
from training.vae import shrunk
from training.vocabulary import SAFE


def test_a_smear_in_place_of_the_unsafe_thing_is_nothing_unsafe():
    """Beside the rest of the scene, which stays as it was."""
    rng = np.random.default_rng(0)
    stage = JudgeStage(DRAWINGS, replace(SECOND, smears=1.0))
    scenes = [random_scene(rng, "addition") for _ in range(6)] + [random_scene(rng, "unsafe")]
    drawn = shrunk(paint(scenes, DRAWINGS), 64)
    left, pixels = stage._with_smears(rng, scenes, drawn.clone())
    assert [scene.unsafe for scene in left[:6]] == [None] * 6
    assert [scene.safe for scene in left] == [scene.safe for scene in scenes]
    assert left[6] == scenes[6]  # there is nothing beside it
    assert torch.equal(pixels[6], drawn[6])
    assert torch.equal(pixels[:6, :, :20, :20], drawn[:6, :, :20, :20])
    changed = (pixels[:6] - drawn[:6]).abs().amax(dim=(1, 2, 3))
    assert (changed > 0.1).all()
    bare = shrunk(paint(left[:6], DRAWINGS), 64)
    assert (pixels[:6] - bare).abs().amax(dim=(1, 2, 3)).min() > 0.02  # but there is something


def test_of_two_pictures_every_smear_is_blurred():
    """Three things in one would be one of the two, to be recognised."""
    bare, things = torch.rand(2, 2, 3, 64, 64)
    found = [smeared(np.random.default_rng(n), bare, things) for n in range(10)]
    assert all(torch.equal(one, found[0]) for one in found)
    bare, things = torch.rand(2, 4, 3, 64, 64)
    found = [smeared(np.random.default_rng(n), bare, things) for n in range(10)]
    assert not all(torch.equal(one, found[0]) for one in found)


def test_the_judge_itself_learns_without_smears():
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng, "addition")]
    pixels = torch.zeros(1, 3, 64, 64)
    assert JudgeStage(DRAWINGS)._with_smears(rng, scenes, pixels) == (scenes, pixels)


def test_a_verdict_a_picture():
    verdicts = judge(new_judge(), [np.zeros((SIZE, SIZE, 3), dtype=np.uint8)] * 3)
    assert len(verdicts) == 3


def test_two_things_are_named_whichever_comes_first():
    """Of three made-up answers: both things, one of them, and both the other way round."""

    class Answers(torch.nn.Module):
        def forward(self, x):
            main = torch.zeros(3, len(SAFE) + 2)
            main[:, len(SAFE)] = 9.0  # "none" is no thing
            for row, (first, second) in enumerate([(4, 7), (4, 8), (7, 4)]):
                main[row, first], main[row, second] = 3.0, 2.0
            return main, torch.zeros(3, 1)

    pictures = [np.zeros((SIZE, SIZE, 3), dtype=np.uint8)] * 3
    assert both_named(Answers(), pictures, [(4, 7)] * 3) == [True, False, True]
