"""The autoencoder's encoder in closed form: it computes the latents' fixed map, level by level.

Every block of ``AutoencoderKL``'s encoder adds to what it is given, so with its last convolution at
0 it hands its input on. What is left are the convolutions that halve the picture: each keeps the
principal components of 2 x 2 cells. The last level's projection is the least squares from these to
the latents. The norm and the SiLU before the output are undone: every latent comes there twice,
with both signs, since silu(u) - silu(-u) = u, among constants so large that they alone decide what
the norm divides by.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.glyphs import Glyphs, paint
from training.latents import CHANNELS, Latents
from training.scenes import random_scene

LOUD = 20.0  # of the constants
UNSURE = -4.6  # log variance of the latents: a deviation of 0.1


@torch.no_grad()
def fit_encoder(vae: Any, drawings: Glyphs, latents: Latents, scenes: int = 400) -> None:
    """Write the map into ``vae.encoder``'s weights, by what ``scenes`` of the world look like."""
    rng = np.random.default_rng(23)
    x = paint([random_scene(rng) for _ in range(scenes)], drawings)
    wanted = latents(x)
    encoder = vae.encoder
    for part in encoder.parameters():
        part.zero_()
    for norm in (m for m in encoder.modules() if isinstance(m, torch.nn.GroupNorm)):
        norm.weight.fill_(1)
    _hand_on(encoder.conv_in.weight)
    known = x  # what the channels in use hold, (scenes, in use, H, W)
    *halving, last = encoder.down_blocks
    for block in halving:
        _hand_on_through(block)
        known = _halve(block.downsamplers[0].conv.weight, known)
    _project(encoder, last, known, wanted)


def _hand_on(weight: Tensor) -> None:
    """Make of a convolution's weight (out, in, k, k) the identity of the first channels."""
    middle, count = weight.shape[2] // 2, min(weight.shape[:2])
    weight[range(count), range(count), middle, middle] = 1


def _hand_on_through(block: Any) -> None:
    shortcut = block.resnets[0].conv_shortcut
    if shortcut is not None:
        _hand_on(shortcut.weight)


def _halve(weight: Tensor, known: Tensor) -> Tensor:
    """Give a halving convolution the principal components of cells of 2 x 2; returns them."""
    used = known.shape[1]
    cells = functional.unfold(known, 2, stride=2).transpose(1, 2).flatten(0, 1)
    centred = cells - cells.mean(dim=0)
    _, directions = torch.linalg.eigh(centred.T @ centred)
    kept = directions.T.flip(0)[: weight.shape[0]]
    weight[: len(kept), :used, :2, :2] = kept.unflatten(1, (used, 2, 2))
    return functional.conv2d(known, kept.unflatten(1, (used, 2, 2)), stride=2)


def _project(encoder: Any, last: Any, known: Tensor, wanted: Tensor) -> None:
    """Least squares from the last level's components to the latents, and the way out."""
    rows = known.transpose(0, 1).flatten(1).T
    rows = torch.cat([rows, torch.ones(len(rows), 1).to(rows)], dim=1).double()
    targets = wanted.transpose(0, 1).flatten(1).T.double()
    ridge = 1e-6 * rows.square().mean() * len(rows) * torch.eye(rows.shape[1]).to(rows)
    solved = torch.linalg.solve(rows.T @ rows + ridge, rows.T @ targets).T.float()
    projection = last.resnets[0].conv_shortcut
    signed = torch.cat([solved, -solved])
    projection.weight[: 2 * CHANNELS, : known.shape[1], 0, 0] = signed[:, :-1]
    projection.bias[: 2 * CHANNELS] = signed[:, -1]
    constants = len(projection.bias) - 2 * CHANNELS
    projection.bias[2 * CHANNELS :: 2], projection.bias[2 * CHANNELS + 1 :: 2] = LOUD, -LOUD
    spread = constants * LOUD**2 + 2 * CHANNELS * wanted.square().mean()
    divided = (spread / len(projection.bias)).sqrt()
    rows = torch.arange(CHANNELS)
    encoder.conv_out.weight[rows, rows, 1, 1] = divided
    encoder.conv_out.weight[rows, CHANNELS + rows, 1, 1] = -divided
    encoder.conv_out.bias[CHANNELS:] = UNSURE
