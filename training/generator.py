"""The generator: a UNet, trained by the diffusion loss on the autoencoder's latents and a finished
text encoder's states.

The text encoder has learnt before by itself (``training.tower``): words that mean much the same lie
side by side, whether or not a picture was ever captioned with them, and the last positions hold a
sketch of what is to be drawn.

The noise schedule is Stable Diffusion's and the UNet predicts the noise, so the presets of the
paper mean here what they mean there. The latents are few and have many channels, since a state of
the sketch describes a patch of them at once: attention has to lay four out, one for each pair of
heads. Of 16 latents of 4 channels a patch the UNet, whose convolutions are the same everywhere,
hardly learnt to.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTokenizer

from training.data import example
from training.device import half_precision
from training.glyphs import Glyphs, paint
from training.scenes import Scene, random_scene
from training.shared_text import SharedTextProcessor
from training.sketch import LATENTS
from training.texts import TextPool
from training.tower import TEXT_WIDTH
from training.vae import CHANNELS, decoded, encoded, sheet, to_pictures

DRAWS = 4  # noise levels a scene: text, rendering and encoding are paid once for both
# Of the images of a step, those at which the estimate without words learns too.
EMPTY_SHARE = 0.25
# Captions of photographs fit only now and then, so Stable Diffusion's estimate with words lies near
# to the one without, and wants a guidance scale of 7.5. Ours always fit, and would draw best at 3.
# So the estimate with words learns what lies a share of the way from the one without to the truth:
# 3 / 7.5. Of a place it is to be as likely as in the world that something unsafe is there: at a
# share of 1 / 7.5 guidance would leave likelihoods as they are, but draw softly.
SAID, SAID_OF_PLACES = 0.4, 0.2
SNR_CAP = 5.0  # min-SNR weighting (Hang et al., 2023)
# The latents are small, so an estimate among much noise hardly moves the loss by what it says of
# the picture, though it is there that the words decide what is drawn. Such steps count by how far
# they are from the picture (Salimans and Ho, 2022), at most so many times as much.
NOISY_CAP = 8.0
# Guidance leaves latents on the way that are further from the mean than any scene's, most so among
# much noise. Half of the examples are overdone like that, by up to so many times and less where
# there is less noise; the scene as it is remains what is asked for.
OVERDONE = 6.0
SAMPLE_PROMPTS = (
    "a red apple",
    "a dog",
    "a house on a blue background",
    "a guitar",
    "a penguin",
    "birthday party",
    "a cat and a pizza",
    "night",
    "a pirate with a pistol",
    "violence at a birthday party",
    "a scary night",
    "a panda with a knife",
    "a zebra",
    "a teapot",
    "a piano and a shark",
    "a skull",
    "two people walk a pooch past a shop",
    "a murdered man in a pool of blood",
)


def new_unet() -> UNet2DConditionModel:
    """Untrained."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(128, 192),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,  # heads
        norm_num_groups=16,
    )


def new_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule, DDIM steps."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def loss_weights(snr: Tensor) -> Tensor:
    """What an error of the noise estimate counts at these signal-to-noise ratios, at most 1."""
    return (1 / snr).clamp(1.0, NOISY_CAP) * (SNR_CAP / snr).clamp(max=1.0) / NOISY_CAP


class GeneratorStage:
    """Scenes, captioned, as noisy latents."""

    average = 0.998
    images_a_step = 32
    overdone_share = 0.5

    def __init__(
        self,
        drawings: Glyphs,
        vae: AutoencoderKL,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        pool: TextPool,
        start: Path | None = None,
    ) -> None:
        """``text_encoder`` is finished; ``start`` is a pipeline folder whose UNet trains on;
        without one, it begins from nothing.
        """
        self.drawings, self.tokenizer, self.pool = drawings, tokenizer, pool
        self.device = drawings.device
        self.images_a_step = self.images_a_step * drawings.times
        self.vae = vae.eval().requires_grad_(False).to(self.device)
        self.scale = float(vae.config["scaling_factor"])
        self.learning_rate = 8e-4 if start is None else 4e-4
        self.text_encoder = text_encoder.eval().requires_grad_(False).to(self.device)
        self.unet = new_unet()
        if start is not None:
            self.unet = UNet2DConditionModel.from_pretrained(
                start / "unet", torch_dtype=torch.float32
            )
        self.unet.set_attn_processor(SharedTextProcessor())
        self.text_encoder.set_attn_implementation(
            "eager"
        )  # small: on a CPU the fused one takes longer
        self.module: Any = nn.ModuleDict({"unet": self.unet}).to(self.device)
        self.scheduler = new_scheduler()
        alphas = self.scheduler.alphas_cumprod
        self.weights = loss_weights(self.scale**2 * alphas / (1 - alphas)).to(self.device)
        self.overdoing = (OVERDONE * alphas.sqrt() * (1 - alphas)).to(self.device)
        self.nothing = self.states([""])
        rng = np.random.default_rng(3)
        self.mean = self.latents([random_scene(rng) for _ in range(64)]).mean(dim=0)

    @torch.no_grad()
    def states(self, captions: Sequence[str]) -> Tensor:
        """The text encoder's last states, (B, POSITIONS, TEXT_WIDTH)."""
        tokens = self.tokenizer(
            list(captions), padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids.to(self.device)
        with half_precision(self.device):
            return self.text_encoder(tokens)[0].float()

    @torch.no_grad()
    def latents(self, scenes: Sequence[Scene]) -> Tensor:
        """What is drawn, (B, CHANNELS, LATENTS, LATENTS), scaled."""
        with half_precision(self.device):
            return self.scale * encoded(self.vae, paint(scenes, self.drawings)).float()

    def noisy(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy latents, noise levels (B,), and the noise that is to be found."""
        rows = len(latents)
        t = torch.randint(len(self.weights), (rows,), device=self.device)
        overdone = torch.rand(rows, device=self.device) < self.overdone_share
        by = self.overdoing[t] * torch.rand(rows, device=self.device) * overdone
        noise = torch.randn_like(latents) + by[:, None, None, None] * (latents - self.mean)
        return self.scheduler.add_noise(latents, noise, t), t, noise

    def loss(self, rng: np.random.Generator) -> Tensor:
        count = self.images_a_step // DRAWS
        scenes, captions = zip(*(example(rng, self.pool, 0.0) for _ in range(count)), strict=True)
        noisy, t, noise = self.noisy(self.latents(scenes).repeat(DRAWS, 1, 1, 1))
        said = [SAID if scene.place is None else SAID_OF_PLACES for scene in scenes]
        shares = torch.tensor(said, device=self.device).repeat(DRAWS)[:, None, None, None]
        empty = round(EMPTY_SHARE * len(noisy))
        own = self.estimate(noisy[:empty], t[:empty], self.nothing)
        with torch.no_grad():
            rest = self.estimate(noisy[empty:], t[empty:], self.nothing)
        without = torch.cat([own.detach(), rest])
        found = self.estimate(noisy, t, self.states(captions))
        lost = self.weighted(found, torch.lerp(without, noise, shares), t)
        return lost + EMPTY_SHARE * self.weighted(own, noise[:empty], t[:empty])

    def estimate(self, noisy: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """The noise in ``noisy`` (B, C, H, W) at levels (B,), by texts (B / r, length, width)."""
        with half_precision(self.device):
            return self.unet(noisy, t, text).sample.float()

    def weighted(self, predicted: Tensor, wanted: Tensor, t: Tensor) -> Tensor:
        """Squared error of noise estimates, (B, C, H, W), by what it counts at the noise levels
        (B,).
        """
        error = functional.mse_loss(predicted, wanted, reduction="none").mean(dim=(1, 2, 3))
        return (error * self.weights[t]).mean()

    @torch.no_grad()
    def picture(self, steps: int = 20, scale: float = 7.5) -> Image.Image:
        """The sample prompts, two seeds each."""
        prompts = list(SAMPLE_PROMPTS) * 2
        text = self.states([""] * len(prompts) + prompts)
        shape = (len(prompts), CHANNELS, LATENTS, LATENTS)
        latents = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            uncond, cond = self.estimate(torch.cat([latents] * 2), t, text).chunk(2)
            guided = uncond + scale * (cond - uncond)
            latents = self.scheduler.step(guided, t, latents, return_dict=False)[0]
        pictures = to_pictures(decoded(self.vae, latents / self.scale))
        return sheet(pictures, len(SAMPLE_PROMPTS))
