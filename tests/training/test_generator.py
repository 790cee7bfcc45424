"""What the generator learns: how errors count at each noise level, and what stays when the text encoder is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from test_lesson import POOL, TOKENIZER

from training.generator import NOISY_CAP, SNR_CAP, GeneratorStage, loss_weights
from training.tower import new_text_encoder
from training.vae import new_vae
from training.vocabulary import THINGS

DRAWINGS = [Image.new("RGBA", (64, 64), (255, 0, 0, 255))] * len(THINGS)


def test_an_error_counts_by_what_it_says_of_the_picture_within_bounds():
    snr = torch.tensor([1e-4, 1 / NOISY_CAP, 0.5, 1.0, SNR_CAP, 50.0])
    wanted = torch.tensor([NOISY_CAP, NOISY_CAP, 2.0, 1.0, 1.0, SNR_CAP / 50]) / NOISY_CAP
    torch.testing.assert_close(loss_weights(snr), wanted)


@pytest.mark.parametrize("keep_text", [True, False])
def test_a_kept_text_encoder_learns_nothing(keep_text):
    torch.manual_seed(0)
    stage = GeneratorStage(DRAWINGS, new_vae(), TOKENIZER, new_text_encoder(TOKENIZER), POOL, keep_text=keep_text)
    stage.images_a_step = 4
    stage.loss(np.random.default_rng(0)).backward()
    learning = {name.split(".")[0] for name, p in stage.module.named_parameters() if p.grad is not None and p.grad.any()}
    assert learning == ({"unet"} if keep_text else {"unet", "text_encoder", "lesson"})
