"""The autoencoder: diffusers' ``AutoencoderKL``, 128 pixels to 8 x 8 latents of 16 channels and
back.

No adversary and no perceptual network: L1, squares and the differences of neighbours are enough for
flat colours and sharp edges. The decoder learns from latents with noise on them. All that it will
ever see is a few hundred drawings in a few places, so it learns to recognise them in the noise, and
draws sharply what a generator only nearly hits.

A norm of all channels together leaves their proportions as they are, which is what a flat colour
is; one of few channels a group takes the colour away.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn import functional

from training.device import half_precision
from training.glyphs import Glyphs, paint
from training.scenes import random_scene

FACTOR, CHANNELS = 16, 16
WIDTHS = (16, 32, 64, 96, 128)  # from the pixels to the latents
# What the latents (of deviation 1) are multiplied with before noise is added, the pipeline's
# ``scaling_factor``. At 1 the first ten steps, which the warm-up of the weaker presets leaves
# alone, settle all that is drawn; smaller latents are settled later (Chen, 2023).
LATENT_SCALE = 0.3
NOISE, NOISY_SHARE = 0.35, 0.6  # on the latents: the largest deviation, and how often there is any
LOG_VARIANCE = -4.6  # of the latents that the encoder is unsure by: a deviation of 0.1


def new_vae() -> AutoencoderKL:
    """Untrained."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(WIDTHS),
        up_block_types=("UpDecoderBlock2D",) * len(WIDTHS),
        block_out_channels=WIDTHS,
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=1,
        sample_size=128,
        scaling_factor=LATENT_SCALE,
        force_upcast=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def encoded(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """The mean latents (B, CHANNELS, H / FACTOR, W / FACTOR) of pictures (B, 3, H, W)."""
    return vae.encoder(pixels)[:, :CHANNELS]


def decoded(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) of latents; nearly in [-1, 1]."""
    return vae.decoder(latents)


def reconstructed(vae: Any, pixels: Tensor) -> Tensor:
    """Pictures in [-1, 1] through the autoencoder and back."""
    return decoded(vae, encoded(vae, pixels))


def to_tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """uint8 pictures (H, W, 3) as one tensor (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(tensor: Tensor) -> list[np.ndarray]:
    """The other way, with clipping."""
    pixels = ((tensor.clamp(-1, 1) + 1) * 127.5).round().byte()
    return list(pixels.permute(0, 2, 3, 1).cpu().numpy())


def shrunk(pixels: Tensor, size: int) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] at ``size`` pixels both ways, as judge and CLIP see them."""
    if pixels.shape[-1] == size:
        return pixels
    shape = (size, size)
    small = functional.interpolate(pixels, size=shape, mode="bicubic", antialias=True)
    return small.clamp(-1, 1)


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of tensors in [-1, 1]; the mean over pictures."""
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
    """Scenes through the autoencoder."""

    learning_rate = 2e-3
    average = 0.995
    images_a_step = 16

    def __init__(self, drawings: Glyphs) -> None:
        self.drawings, self.device = drawings, drawings.device
        self.images_a_step = self.images_a_step * drawings.times
        self.module: Any = new_vae().to(self.device)

    def batch(self, rng: np.random.Generator, size: int) -> Tensor:
        """``size`` scenes, (B, 3, SIZE, SIZE)."""
        return paint([random_scene(rng) for _ in range(size)], self.drawings)

    def loss(self, rng: np.random.Generator) -> Tensor:
        x = self.batch(rng, self.images_a_step)
        spread = NOISE * torch.rand(len(x), 1, 1, 1, device=self.device)
        spread *= torch.rand(len(x), 1, 1, 1, device=self.device) < NOISY_SHARE
        with half_precision(self.device):
            z, unsure = self.module.encoder(x).chunk(2, dim=1)
            y = decoded(self.module, z + spread * torch.randn_like(z)).float()
        error = y - x
        edges = sum(
            (a - b).abs().mean() for a, b in zip(_neighbours(y), _neighbours(x), strict=True)
        )
        z = z.float()
        # The generator wants latents of mean 0 and deviation 1; the rest is folded into the
        # weights.
        mean, deviation = z.mean(dim=(0, 2, 3)), z.std(dim=(0, 2, 3))
        scale = mean.square().mean() + (deviation - 1).square().mean()
        scale = scale + (unsure.float() - LOG_VARIANCE).square().mean()
        return error.abs().mean() + 2 * error.square().mean() + 0.5 * edges + 0.02 * scale

    @torch.no_grad()
    def picture(self) -> Image.Image:
        x = self.batch(np.random.default_rng(1), 24)
        y = torch.cat([decoded(self.module, encoded(self.module, part)) for part in x.split(8)])
        print(f"autoencoder: {psnr(y, x):.2f} dB", flush=True)
        return sheet(to_pictures(x) + to_pictures(y), 12)


@torch.no_grad()
def fold_normalisation(vae: AutoencoderKL, pictures: Tensor) -> None:
    """Fold mean and deviation of each latent channel, measured on ``pictures``, into the weights.

    They are those of the encoder's last convolution and of the decoder's first. Exact but for the
    decoder's border, where the convolution's padding is 0 and not the mean.
    """
    z = torch.cat([encoded(vae, part) for part in pictures.split(16)])
    mean, deviation = z.mean(dim=(0, 2, 3)), z.std(dim=(0, 2, 3))
    last: Any = vae.encoder.conv_out
    first: Any = vae.decoder.conv_in
    last.weight[:CHANNELS].div_(deviation[:, None, None, None])
    last.bias[:CHANNELS].sub_(mean).div_(deviation)
    last.bias[CHANNELS:].sub_(2 * deviation.log())
    first.bias.add_((first.weight * mean[None, :, None, None]).sum(dim=(1, 2, 3)))
    first.weight.mul_(deviation[None, :, None, None])
