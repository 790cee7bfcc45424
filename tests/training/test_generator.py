"""What the generator learns: how errors count at each noise level, and what stays as it is."""

from __future__ import annotations

import numpy as np
import torch

from tests.training.test_lesson import POOL, TOKENIZER
from tests.training.test_sketch import made_latents
from training.generator import GeneratorStage
from training.glyphs import Glyphs
from training.scenes import LARGE, SMALL, Scene
from training.tower import new_text_encoder
from training.vae import LATENT_SCALE
from training.vocabulary import THINGS

RED = torch.tensor([255, 0, 0, 255], dtype=torch.uint8)[:, None, None]
DRAWINGS = Glyphs(
    pictures={side: RED.expand(len(THINGS), 4, side, side) for side in (LARGE, SMALL)}
)


def stage() -> GeneratorStage:
    torch.manual_seed(0)
    text_encoder = new_text_encoder(TOKENIZER)
    return GeneratorStage(DRAWINGS, made_latents(), TOKENIZER, text_encoder, POOL)


def picture(one: GeneratorStage, noisy, t, velocity):
    """The scaled latents that an estimate says (Salimans and Ho, 2022)."""
    alphas = one.scheduler.alphas_cumprod[t][:, None, None, None]
    return alphas.sqrt() * noisy - (1 - alphas).sqrt() * velocity


def test_an_error_counts_by_what_it_makes_of_the_picture():
    one = stage()
    noisy, t, wanted = one.noisy(one.latents([Scene(background="blue", placed=())] * 8))
    wrong = wanted + 0.1 * torch.randn_like(wanted)
    off = picture(one, noisy, t, wrong) - picture(one, noisy, t, wanted)
    torch.testing.assert_close(
        one.weighted(wrong, wanted, t), (off / LATENT_SCALE).square().mean(), rtol=1e-3, atol=0
    )


def test_the_unet_alone_learns():
    """The text encoder stays as it is, and with it what was made beside it: the CLIP and its
    detectors.
    """
    one = stage()
    one.images_a_step = 4
    one.loss(np.random.default_rng(0)).backward()
    assert {
        name.split(".")[0]
        for name, p in one.module.named_parameters()
        if p.grad is not None and p.grad.any()
    } == {"unet"}
    assert all(p.grad is None for p in one.text_encoder.parameters())


def test_overdone_latents_are_further_from_the_mean_and_the_scene_is_what_is_asked_for():
    """The velocity that is asked for takes noisy latents back to the scene's own, however much they
    are overdone.
    """
    one = stage()
    one.overdone_share = 1.0
    latents = one.latents([Scene(background="blue", placed=())] * 64)
    noisy, t, wanted = one.noisy(latents)
    torch.testing.assert_close(picture(one, noisy, t, wanted), latents, atol=1e-4, rtol=0)
    alphas = one.scheduler.alphas_cumprod[t][:, None, None, None]
    away = latents - one.mean
    beyond = noisy - alphas.sqrt() * latents
    along = (beyond * away).flatten(1).sum(1) / away.flatten(1).square().sum(1)
    assert along.mean() > 0
