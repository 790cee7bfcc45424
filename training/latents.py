"""What a picture is in the latent space: a fixed linear map of its patches of 32 x 32 pixels, found
without training.

The map is the principal components of the world's patches, so that decoder, text encoder and UNet
learn apart from each other, in any order and over any number of runs: the latents never move under
them. The autoencoder's encoder is fitted to the map (``training.encoder``), and its decoder
learns the drawings behind the latents (``training.vae``). The components of another machine, or of
other scenes, are not quite these: what trains on from finished weights goes by their encoder's map.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from training.device import Place
from training.glyphs import Glyphs, glyphs, paint
from training.scenes import random_scene

FACTOR, CHANNELS = 32, 64
BASIS = "latents.safetensors"
SCENES = 2000  # that the components are taken from
# Power of a component's deviation that is left in the latents: 0 would make the faintest detail as
# loud as the colour of a thing, 1 would leave detail to drown in noise.
LEFT = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Latents:
    """The mean patch (3, FACTOR, FACTOR), and the map of what a patch is beyond it, (CHANNELS, 3,
    FACTOR, FACTOR), whose rows are orthogonal.
    """

    mean: Tensor
    weight: Tensor

    def on(self, place: Place) -> Latents:
        """The same at ``place``."""
        return Latents(mean=self.mean.to(place.device), weight=self.weight.to(place.device))

    def __call__(self, pixels: Tensor) -> Tensor:
        """Latents (B, CHANNELS, H / FACTOR, W / FACTOR) of pictures (B, 3, H, W) in [-1, 1].

        Of mean 0 and, over all channels, mean square 1.
        """
        bias = -self.weight.flatten(1) @ self.mean.flatten()
        return functional.conv2d(pixels, self.weight, bias, stride=FACTOR)

    def picture(self, latents: Tensor) -> Tensor:
        """What the components alone say of a picture, (B, 3, H, W): blurred, about 24 dB."""
        back = self.weight / self.weight.square().sum(dim=(1, 2, 3), keepdim=True)
        beyond = functional.conv_transpose2d(latents, back, stride=FACTOR)
        height, width = latents.shape[2:]
        return beyond + self.mean.repeat(1, height, width)


def make_latents(drawings: Glyphs, scenes: int) -> Latents:
    """The map for a world of these drawings."""
    rng = np.random.default_rng(17)
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for start in range(0, scenes, 100):
        pixels = paint([random_scene(rng) for _ in range(min(100, scenes - start))], drawings)
        patches = functional.unfold(pixels, FACTOR, stride=FACTOR).transpose(1, 2).flatten(0, 1)
        total = total + patches.sum(dim=0)
        squares = squares + patches.T @ patches
        count += len(patches)
    mean = total / count
    values, directions = torch.linalg.eigh(squares / count - torch.outer(mean, mean))
    values, directions = values.flip(0)[:CHANNELS], directions.flip(1)[:, :CHANNELS]
    gains = values.clamp_min(1e-8).sqrt() ** (LEFT - 1)
    rows = directions.T * (gains / (values * gains**2).mean().sqrt())[:, None]
    shape = (3, FACTOR, FACTOR)
    return Latents(mean=mean.unflatten(0, shape).cpu(), weight=rows.unflatten(1, shape).cpu())


@torch.no_grad()
def latents_of(vae: Any) -> Latents:
    """The map that an autoencoder's encoder computes, patch by patch (``training.encoder``).

    A fitted encoder is as good as linear: its answers to single pixels are the map's columns.
    """
    shape = (3, FACTOR, FACTOR)
    pixels = torch.eye(int(np.prod(shape))).unflatten(1, shape)

    def encoded(patches: Tensor) -> Tensor:
        return vae.encode(patches).latent_dist.mode().flatten(1)

    columns = [(encoded(some) - encoded(-some)) / 2 for some in pixels.split(256)]
    rows = torch.cat(columns).T
    mean = -torch.linalg.pinv(rows) @ encoded(torch.zeros(1, *shape))[0]
    return Latents(mean=mean.unflatten(0, shape), weight=rows.unflatten(1, shape))


def keep(made: Latents, work: Path) -> None:
    """Write the map, which ``latents`` reads, whole."""
    file = work / BASIS
    aside = file.with_suffix(".tmp")
    save_file({"mean": made.mean.contiguous(), "weight": made.weight.contiguous()}, aside)
    os.replace(aside, file)


def latents(work: Path) -> Latents:
    """The map below ``work``: of its drawings, unless one is kept there."""
    if not (work / BASIS).exists():
        keep(make_latents(glyphs(work), SCENES), work)
    return Latents(**load_file(work / BASIS))
