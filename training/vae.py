"""The autoencoder: diffusers' ``AutoencoderTiny``, 64 pixels to 8 x 8 latents of 16 channels and
back.

It learns all three drawing styles, so that a later generator may use any. No adversary and no
perceptual network: L1, squares and the differences of neighbours, with noise on the latents, are
enough for flat colours and sharp edges.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import Tensor

from training.glyphs import Glyphs
from training.scenes import random_scene, render

FACTOR, CHANNELS, WIDTH = 8, 16, 48
# What the latents (of deviation 1) are multiplied with before noise is added, the pipeline's
# ``scaling_factor``. At 1 the first ten steps, which the warm-up of the weaker presets leaves
# alone, settle all that is drawn; smaller latents are settled later (Chen, 2023).
LATENT_SCALE = 0.3


def new_vae() -> AutoencoderTiny:
    """Untrained."""
    return AutoencoderTiny(
        latent_channels=CHANNELS,
        encoder_block_out_channels=(WIDTH,) * 4,
        decoder_block_out_channels=(WIDTH,) * 4,
        num_encoder_blocks=(1, 1, 2, 2),
        num_decoder_blocks=(2, 2, 2, 1),
        upsampling_scaling_factor=2,
        scaling_factor=LATENT_SCALE,
    )


def to_tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """uint8 pictures (H, W, 3) as one tensor (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(tensor: Tensor) -> list[np.ndarray]:
    """The other way, with clipping."""
    pixels = ((tensor.clamp(-1, 1) + 1) * 127.5).round().byte()
    return list(pixels.permute(0, 2, 3, 1).numpy())


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of tensors in [-1, 1]; the mean over pictures of each one's
    own.
    """
    error = (a.clamp(-1, 1) - b).square().mean(dim=(1, 2, 3)).clamp_min(1e-10)
    return float((10 * torch.log10(4 / error)).mean())


def sheet(pictures: Sequence[np.ndarray], columns: int) -> Image.Image:
    """Pictures of one size in rows."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * width, rows * height), "white")
    for n, picture in enumerate(pictures):
        page.paste(Image.fromarray(picture), (n % columns * width, n // columns * height))
    return page


def _neighbours(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


class VaeStage:
    """Scenes of all styles through the autoencoder."""

    learning_rate = 2e-3
    average = 0.995
    images_a_step = 16

    def __init__(self, drawings: Glyphs) -> None:
        self.drawings = drawings
        self.module: Any = new_vae()

    def batch(self, rng: np.random.Generator, size: int) -> Tensor:
        """``size`` scenes, (B, 3, 64, 64)."""
        return to_tensor([render(random_scene(rng), self.drawings) for _ in range(size)])

    def loss(self, rng: np.random.Generator) -> Tensor:
        x = self.batch(rng, self.images_a_step)
        vae = self.module
        with torch.autocast("cpu", torch.bfloat16):
            z = vae.encoder(x)
            y = vae.decoder(z + 0.02 * torch.randn_like(z)).float()
        error = y - x
        edges = sum(
            (a - b).abs().mean() for a, b in zip(_neighbours(y), _neighbours(x), strict=True)
        )
        z = z.float()
        # The generator wants latents of mean 0 and deviation 1; what the penalty leaves is folded
        # into the weights.
        scale = z.mean(dim=(0, 2, 3)).square().mean() + (z.std(dim=(0, 2, 3)) - 1).square().mean()
        return error.abs().mean() + 2 * error.square().mean() + 0.5 * edges + 0.02 * scale

    @torch.no_grad()
    def picture(self) -> Image.Image:
        x = self.batch(np.random.default_rng(1), 24)
        y = self.module.decoder(self.module.encoder(x))
        print(f"autoencoder: {psnr(y, x):.2f} dB", flush=True)
        return sheet(to_pictures(x) + to_pictures(y), 12)


@torch.no_grad()
def fold_normalisation(vae: AutoencoderTiny, pictures: Tensor) -> None:
    """Fold mean and deviation of each latent channel, measured on ``pictures``, into two
    convolutions.

    They are the encoder's last and the decoder's first. The decoder squashes its input by ``3
    tanh(z / 3)`` before that convolution, so the fold is exact for the encoder and close for the
    decoder when the statistics are close to 0 and 1 already.
    """
    z = vae.encoder(pictures)
    mean, deviation = z.mean(dim=(0, 2, 3)), z.std(dim=(0, 2, 3))
    last: Any = vae.encoder.layers[-1]
    first: Any = vae.decoder.layers[0]
    last.weight.div_(deviation[:, None, None, None])
    last.bias.sub_(mean).div_(deviation)
    # W (d z + m) + b; the padding of the convolution is zero in z, hence off by W m at the border,
    # which is small with m.
    first.bias.add_((first.weight * mean[None, :, None, None]).sum(dim=(1, 2, 3)))
    first.weight.mul_(deviation[None, :, None, None])
