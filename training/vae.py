"""The autoencoder: diffusers' ``AutoencoderKL``, 128 pixels to 4 x 4 latents of 64 channels and
back. Only its decoder is trained; the encoder follows in closed form (``training.encoder``).

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
from training.latents import CHANNELS, Latents
from training.scenes import Scene, random_scene

WIDTHS = (8, 16, 32, 64, 128, 192)  # from the pixels to the latents
# What the latents (of deviation 1) are multiplied with before noise is added, the pipeline's
# ``scaling_factor``. At 1 the first ten steps, which the warm-up of the weaker presets leaves
# alone, settle all that is drawn; smaller latents are settled later (Chen, 2023).
LATENT_SCALE = 0.3
NOISE, NOISY_SHARE = 0.5, 0.7  # on the latents: the largest deviation, and how often there is any
OVERDONE = 0.3  # how much larger the noisiest are than they should be, as guidance leaves them
SHOWN = {"single": 0.45, "unsafe": 0.07, "pair": 0.28, "addition": 0.20}  # kinds of scenes


def new_vae() -> AutoencoderKL:
    """Untrained."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(WIDTHS),
        up_block_types=("UpDecoderBlock2D",) * len(WIDTHS),
        block_out_channels=WIDTHS,
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=1,
        mid_block_add_attention=False,
        sample_size=128,
        scaling_factor=LATENT_SCALE,
        force_upcast=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def reconstructed(vae: Any, pixels: Tensor) -> Tensor:
    """Pictures, nearly in [-1, 1], through the autoencoder and back."""
    return vae.decoder(vae.encoder(pixels)[:, :CHANNELS])


def to_tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """uint8 pictures (H, W, 3) as one tensor (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(tensor: Tensor) -> list[np.ndarray]:
    """The other way, with clipping."""
    pixels = ((tensor.clamp(-1, 1) + 1) * 127.5).round().byte()
    return list(pixels.permute(0, 2, 3, 1).cpu().numpy())


def rounded(pixels: Tensor) -> Tensor:
    """Pictures in [-1, 1] as they are once they were bytes."""
    return ((pixels + 1) * 127.5).round() / 127.5 - 1


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


class DecoderStage:
    """Scenes from their latents."""

    learning_rate = 1.5e-3
    average = 0.995
    images_a_step = 8

    def __init__(self, drawings: Glyphs, latents: Latents) -> None:
        self.drawings, self.latents, self.device = drawings, latents, drawings.device
        self.images_a_step = self.images_a_step * drawings.times
        self.module: Any = new_vae().decoder.to(self.device)

    def batch(self, rng: np.random.Generator, size: int) -> Tensor:
        """``size`` scenes, (B, 3, SIZE, SIZE)."""
        kinds = rng.choice(list(SHOWN), size=size, p=list(SHOWN.values()))
        return paint([self.scene(rng, str(kind)) for kind in kinds], self.drawings)

    def scene(self, rng: np.random.Generator, kind: str) -> Scene:
        """One of this kind."""
        return random_scene(rng, kind)

    def pairs(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor]:
        """``size`` scenes, and latents to draw them from: their own, with noise or without."""
        x = self.batch(rng, size)
        spread = NOISE * torch.rand(len(x), 1, 1, 1, device=self.device)
        spread *= torch.rand(len(x), 1, 1, 1, device=self.device) < NOISY_SHARE
        z = self.latents(x)
        return x, z * (1 + OVERDONE / NOISE * spread) + spread * torch.randn_like(z)

    def loss(self, rng: np.random.Generator) -> Tensor:
        x, z = self.pairs(rng, self.images_a_step)
        with half_precision(self.device):
            y = self.module(z).float()
        error = y - x
        edges = sum(
            (a - b).abs().mean() for a, b in zip(_neighbours(y), _neighbours(x), strict=True)
        )
        return error.abs().mean() + 2 * error.square().mean() + 0.5 * edges

    @torch.no_grad()
    def picture(self) -> Image.Image:
        x = self.batch(np.random.default_rng(1), 24)
        z = self.latents(x)
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0)).to(z)
        y, noisy = (
            torch.cat([self.module(part) for part in latents.split(8)])
            for latents in (z, z + NOISE * noise)
        )
        print(f"decoder: {psnr(y, x):.2f} dB, {psnr(noisy, x):.2f} dB from noise", flush=True)
        return sheet(to_pictures(x) + to_pictures(y) + to_pictures(noisy), 12)
