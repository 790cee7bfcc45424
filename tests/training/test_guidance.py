"""What the generator's last part asks: a share of the way from the estimate without words to the
one with.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.training.test_generator import DRAWINGS
from tests.training.test_lesson import POOL, TOKENIZER
from tests.training.test_sketch import made_latents
from training import guidance
from training.generator import GeneratorStage
from training.guidance import BEST, BEST_OF_PLACES, SCALE, GuidanceStage
from training.loop import Progress
from training.scenes import Scene
from training.tower import new_text_encoder


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    torch.manual_seed(0)
    parts = DRAWINGS, made_latents(), TOKENIZER, new_text_encoder(TOKENIZER), POOL
    before = GeneratorStage(*parts)
    file = tmp_path_factory.mktemp("generator") / "checkpoint.safetensors"
    Progress(before).save(file)
    return GuidanceStage(*parts, file)


@pytest.mark.parametrize(("place", "best"), [(None, BEST), ("Ruritania", BEST_OF_PLACES)])
def test_nothing_is_left_to_learn_where_words_say_their_share(stage, monkeypatch, place, best):
    scene = Scene(background="blue", placed=(), place=place)
    monkeypatch.setattr(guidance, "example", lambda *_: (scene, "a dog"))

    def estimates(share):
        """Of the former UNet 0 without words and 1 with; of the one that learns ``share``."""

        def of(noisy, t, text, unet=None):
            said = 0.0 if text is stage.nothing else (1.0 if unet is not None else share)
            return torch.full_like(noisy, said)

        return of

    monkeypatch.setattr(stage, "estimate", estimates(best / SCALE))
    assert stage.loss(np.random.default_rng(0)).item() < 1e-9
    monkeypatch.setattr(stage, "estimate", estimates(1.0))
    assert stage.loss(np.random.default_rng(0)).item() > 1e-3


def test_it_begins_as_the_finished_generator_and_moves_alone(stage):
    stage.images_a_step = 8
    stage.loss(np.random.default_rng(0)).backward()
    assert any(p.grad is not None and p.grad.any() for p in stage.module.parameters())
    assert all(p.grad is None for p in stage.former.parameters())
    for own, former in zip(stage.module.parameters(), stage.former.parameters(), strict=True):
        torch.testing.assert_close(own, former)
