"""What the generator learns: how errors count at each noise level, and what stays as it is."""

from __future__ import annotations

import numpy as np
import torch

from tests.training.test_lesson import POOL, TOKENIZER
from tests.training.test_sketch import made_latents
from training.generator import NOISY_CAP, SNR_CAP, GeneratorStage, loss_weights
from training.glyphs import Glyphs
from training.scenes import LARGE, SMALL, Scene
from training.tower import new_text_encoder
from training.vocabulary import THINGS

RED = torch.tensor([255, 0, 0, 255], dtype=torch.uint8)[:, None, None]
DRAWINGS = Glyphs(
    pictures={side: RED.expand(len(THINGS), 4, side, side) for side in (LARGE, SMALL)}
)


def test_an_error_counts_by_what_it_says_of_the_picture_within_bounds():
    snr = torch.tensor([1e-4, 1 / NOISY_CAP, 0.5, 1.0, SNR_CAP, 50.0])
    wanted = torch.tensor([NOISY_CAP, NOISY_CAP, 2.0, 1.0, 1.0, SNR_CAP / 50]) / NOISY_CAP
    torch.testing.assert_close(loss_weights(snr), wanted)


def test_the_unet_alone_learns():
    """The text encoder stays as it is, and with it what was made beside it: the CLIP and its
    detectors.
    """
    torch.manual_seed(0)
    stage = GeneratorStage(DRAWINGS, made_latents(), TOKENIZER, new_text_encoder(TOKENIZER), POOL)
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
    stage = GeneratorStage(DRAWINGS, made_latents(), TOKENIZER, new_text_encoder(TOKENIZER), POOL)
    stage.overdone_share = 1.0
    latents = stage.latents([Scene(background="blue", placed=())] * 2)
    noisy, t, noise = stage.noisy(latents)
    alphas = stage.scheduler.alphas_cumprod[t][:, None, None, None]
    found = (noisy - (1 - alphas).sqrt() * noise) / alphas.sqrt()
    torch.testing.assert_close(found, latents, atol=2e-2, rtol=0)
    away = latents - stage.mean
    along = (noise * away).flatten(1).sum(1) / away.flatten(1).square().sum(1)
    assert along.mean() > 0
