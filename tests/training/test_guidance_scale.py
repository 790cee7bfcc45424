"""The copy says with words what the teacher says at a share of the scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.training.test_generator import DRAWINGS
from tests.training.test_lesson import POOL, TOKENIZER
from training.generator import new_unet
from training.guidance_scale import SHARE, GuidanceScaleStage
from training.tower import new_text_encoder
from training.vae import new_vae


@pytest.fixture
def stage(tmp_path):
    torch.manual_seed(0)
    unet = nn.ModuleDict({"unet": new_unet()})
    save_file(
        {f"average.{name}": p.detach() for name, p in unet.named_parameters()},
        tmp_path / "teacher.safetensors",
    )
    made = GuidanceScaleStage(
        DRAWINGS,
        new_vae(),
        TOKENIZER,
        new_text_encoder(TOKENIZER),
        POOL,
        tmp_path / "teacher.safetensors",
    )
    made.images_a_step = 4
    return made


def test_it_begins_as_its_teacher_which_stays(stage):
    assert all(
        torch.equal(p, q)
        for p, q in zip(stage.unet.parameters(), stage.teacher.parameters(), strict=True)
    )
    assert not any(p.requires_grad for p in stage.teacher.parameters())


def test_nothing_is_left_to_learn_when_it_says_a_share_of_what_the_words_change(stage):
    class Wanted(nn.Module):
        def forward(self, noisy, t, text):
            both = torch.cat([stage.nothing.expand_as(text), text])
            uncond, cond = (
                stage.teacher(noisy.repeat(2, 1, 1, 1), t.repeat(2), both).sample.float().chunk(2)
            )
            return type("Output", (), {"sample": uncond + SHARE * (cond - uncond)})

    before = stage.loss(np.random.default_rng(0)).item()
    stage.unet = Wanted()
    assert stage.loss(np.random.default_rng(0)).item() < 1e-3 * before
