"""The fixed map from pixels to latents, and the encoder that computes it in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.training.test_sketch import made_drawings
from training.encoder import UNSURE, fit_encoder
from training.glyphs import paint
from training.latents import BASIS, CHANNELS, Latents, keep, latents, latents_of, make_latents
from training.scenes import SIZE, random_scene
from training.vae import new_vae, psnr


@pytest.fixture(scope="module")
def world():
    """Drawings, their map, and scenes that it was not made from."""
    drawings, rng = made_drawings(), np.random.default_rng(5)
    return (
        drawings,
        make_latents(drawings, scenes=60),
        paint([random_scene(rng) for _ in range(40)], drawings),
    )


def test_latents_are_about_standard_and_uncorrelated(world):
    _, found, pixels = world
    z = found(pixels).transpose(0, 1).flatten(1)
    assert z.square().mean().sqrt() == pytest.approx(1, abs=0.1)
    assert (z.mean(dim=1).abs() < 0.5 * z.std(dim=1)).all()
    rows = found.weight.flatten(1)
    products = rows @ rows.T
    products /= products.diag().sqrt()[:, None] * products.diag().sqrt()
    torch.testing.assert_close(products, torch.eye(CHANNELS), atol=1e-4, rtol=0)


def test_the_first_components_count_most_and_less_than_they_vary(world):
    """In pixels a component varies by its latents' deviation over its row's length."""
    _, found, pixels = world
    said = found(pixels).std(dim=(0, 2, 3))
    in_pixels = said / found.weight.flatten(1).norm(dim=1)
    assert in_pixels[0] > in_pixels[20] > in_pixels[60]
    assert in_pixels[0] / in_pixels[60] > 2 * said[0] / said[60] > 2


def test_pictures_come_back_as_far_as_the_components_say(world):
    _, found, pixels = world
    z = found(pixels)
    pictures, flat = found.picture(z), pixels[:1, :, :1, :1].expand(1, 3, SIZE, SIZE)
    assert psnr(pictures, pixels) > psnr(flat, pixels) + 6
    torch.testing.assert_close(found(pictures), z, atol=5e-3, rtol=0)


def test_the_encoder_computes_the_map(world):
    drawings, found, pixels = world
    vae = new_vae().eval()
    fit_encoder(vae, drawings, found, scenes=60)
    with torch.no_grad():
        encoded = vae.encode(pixels).latent_dist
    error = (encoded.mean - found(pixels)).square().mean()
    assert error < 0.03 * found(pixels).square().mean()
    torch.testing.assert_close(encoded.logvar, torch.full_like(encoded.logvar, UNSURE))


def test_the_map_is_made_once(tmp_path):
    made = {"mean": torch.zeros(3, 2, 2), "weight": torch.ones(1, 3, 2, 2)}
    save_file(made, tmp_path / BASIS)
    assert torch.equal(latents(tmp_path).weight, made["weight"])


def test_the_map_of_finished_weights_is_read_off_their_encoder(world):
    """Components with other signs, as another machine finds them, are another map."""
    drawings, found, pixels = world
    signs = torch.from_numpy(np.random.default_rng(3).choice([-1.0, 1.0], CHANNELS)).float()
    other = Latents(mean=found.mean, weight=found.weight * signs[:, None, None, None])
    vae = new_vae().eval()
    fit_encoder(vae, drawings, other, scenes=60)
    read = latents_of(vae)
    with torch.no_grad():
        encoded = vae.encode(pixels).latent_dist.mode()
    assert (read(pixels) - encoded).square().mean() < 1e-3
    assert (read(pixels) - other(pixels)).square().mean() < 0.03
    assert (read(pixels) - found(pixels)).square().mean() > 0.3
    assert psnr(read.picture(encoded), pixels) > psnr(found.picture(encoded), pixels) + 3


def test_a_map_that_is_kept_is_the_one_that_is_read(world, tmp_path):
    keep(world[1], tmp_path)
    assert torch.equal(latents(tmp_path).weight, world[1].weight)
    assert [file.name for file in tmp_path.iterdir()] == [BASIS]
