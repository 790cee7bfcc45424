"""What the generator learns: how errors count at each noise level, and what stays as it is."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from tests.training.test_lesson import POOL, TOKENIZER
from training.generator import NOISY_CAP, SNR_CAP, GeneratorStage, loss_weights
from training.scenes import STYLES
from training.tower import new_text_encoder
from training.vae import new_vae
from training.vocabulary import THINGS

DRAWINGS = {
    style: [Image.new("RGBA", (64, 64), (255, 0, 0, 255))] * len(THINGS) for style in STYLES
}


def test_an_error_counts_by_what_it_says_of_the_picture_within_bounds():
    snr = torch.tensor([1e-4, 1 / NOISY_CAP, 0.5, 1.0, SNR_CAP, 50.0])
    wanted = torch.tensor([NOISY_CAP, NOISY_CAP, 2.0, 1.0, 1.0, SNR_CAP / 50]) / NOISY_CAP
    torch.testing.assert_close(loss_weights(snr), wanted)


def test_the_unet_alone_learns():
    """The text encoder stays as it is, and with it what was made beside it: the CLIP and its
    detectors.
    """
    torch.manual_seed(0)
    stage = GeneratorStage(DRAWINGS, new_vae(), TOKENIZER, new_text_encoder(TOKENIZER), POOL)
    stage.images_a_step = 4
    stage.loss(np.random.default_rng(0)).backward()
    assert {
        name.split(".")[0]
        for name, p in stage.module.named_parameters()
        if p.grad is not None and p.grad.any()
    } == {"unet"}
    assert all(p.grad is None for p in stage.text_encoder.parameters())


def test_overdone_latents_are_further_from_the_mean_and_the_scene_is_what_is_asked_for():
    """Noise that is asked for takes noisy latents back to the scene's own, however much they are
    overdone.
    """
    torch.manual_seed(0)
    stage = GeneratorStage(DRAWINGS, new_vae(), TOKENIZER, new_text_encoder(TOKENIZER), POOL)
    stage.overdone_share = 1.0
    noisy, t, _, noise = stage.batch(np.random.default_rng(0))
    signal, spread = (
        a.sqrt()[:, None, None, None]
        for a in (stage.scheduler.alphas_cumprod[t], 1 - stage.scheduler.alphas_cumprod[t])
    )
    found = (noisy - spread * noise) / signal
    torch.testing.assert_close(
        found[: len(t) // 2], found[len(t) // 2 :], atol=2e-2, rtol=0
    )  # both draws of a scene
    along = (
        (noise * (found - stage.mean)).flatten(1).sum(1)
        / (found - stage.mean).flatten(1).square().sum(1)
    ).mean()
    assert along > 0
