"""The generator: text encoder and UNet, trained together by the diffusion loss on the autoencoder's latents.

The text encoder goes on with its lesson beside it (``training.lesson``), which it has learnt before by itself (``training.tower``): words
that mean much the same lie side by side, whether or not a picture was ever captioned with them.

The noise schedule is Stable Diffusion's and the UNet predicts the noise, so the presets of the paper mean here what they mean there.
There is no attention at the finest level: it would cost as much as the rest of the UNet and the small pictures do not need it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTokenizer

from training.captions import caption
from training.lesson import Lesson
from training.scenes import Scene, random_scene, render
from training.texts import TextPool
from training.tower import TEXT_WIDTH
from training.vae import CHANNELS, sheet, to_pictures, to_tensor

TEXT_SHARE = 0.35  # of scenes: the caption is a text that is not ours
LESSON, LESSON_WEIGHT = 64, 0.4  # texts a step
EMPTY_SHARE = 0.1  # captions dropped, for classifier-free guidance
DRAWS = 2  # noise levels a scene: text, rendering and encoding are paid once for both
SNR_CAP = 5.0  # min-SNR weighting (Hang et al., 2023)
# The latents are small, so an estimate among much noise hardly moves the loss by what it says of the picture, though it is there that the
# words decide what is drawn. Such steps count by how far they are from the picture (Salimans and Ho, 2022), at most so many times as much.
NOISY_CAP = 8.0
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
    "two people walk a pooch past a shop",
    "a murdered man in a pool of blood",
)


def new_unet() -> UNet2DConditionModel:
    """Untrained."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
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
    """Scenes of one style, captioned, as noisy latents."""

    average = 0.998
    images_a_step = 32

    def __init__(
        self,
        drawings: Sequence[Image.Image],
        vae: AutoencoderTiny,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        pool: TextPool,
        start: Path | None = None,
        *,
        keep_text: bool = False,
    ) -> None:
        """``text_encoder`` knows its lesson; ``start`` is a pipeline folder whose UNet trains on; without one, it begins from nothing.

        With ``keep_text`` the text encoder stays as it is, and so does all that was made beside it: the CLIP and its detectors.
        """
        self.drawings, self.tokenizer, self.pool = drawings, tokenizer, pool
        self.vae = vae.eval().requires_grad_(False)
        self.scale = float(vae.config["scaling_factor"])
        self.learning_rate = 1.2e-3 if start is None else 5e-4
        self.text_encoder, self.unet = text_encoder, new_unet()
        if start is not None:
            self.unet = UNet2DConditionModel.from_pretrained(start / "unet", torch_dtype=torch.float32)
        # Written out: on a CPU the fused attention of small pictures takes longer.
        self.unet.set_attn_processor(AttnProcessor())
        self.text_encoder.set_attn_implementation("eager")
        self.keep_text = keep_text
        self.text_encoder.requires_grad_(not keep_text)
        self.lesson = Lesson(pool, tokenizer, TEXT_WIDTH)
        self.module: Any = nn.ModuleDict({"text_encoder": self.text_encoder, "unet": self.unet, "lesson": self.lesson})
        self.scheduler = new_scheduler()
        alphas = self.scheduler.alphas_cumprod
        self.weights = loss_weights(self.scale**2 * alphas / (1 - alphas))

    def tokens(self, captions: list[str]) -> Tensor:
        """Token ids padded to all positions, (B, 77)."""
        return self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids

    def example(self, rng: np.random.Generator) -> tuple[Scene, str]:
        """A scene and its caption: ours, or a text whose nearest known things the scene holds."""
        if rng.random() < TEXT_SHARE:
            return self.pool.scene(rng)
        scene = random_scene(rng)
        return scene, caption(rng, scene)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor]:
        """Latents (B, 4, 16, 16) and token ids (B, 77) of fresh scenes."""
        scenes, captions = zip(*(self.example(rng) for _ in range(size)), strict=True)
        captions = ["" if rng.random() < EMPTY_SHARE else text for text in captions]
        pictures = to_tensor([render(scene, self.drawings) for scene in scenes])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            latents = self.scale * self.vae.encoder(pictures).float()
        return latents, self.tokens(captions)

    def loss(self, rng: np.random.Generator) -> Tensor:
        latents, tokens = self.batch(rng, self.images_a_step // DRAWS)
        latents = latents.repeat(DRAWS, 1, 1, 1)
        noise = torch.randn_like(latents)
        t = torch.randint(len(self.weights), (len(latents),))
        noisy = self.scheduler.add_noise(latents, noise, t)
        with torch.autocast("cpu", torch.bfloat16):
            text = self.text_encoder(tokens)[0].repeat(DRAWS, 1, 1)
            predicted = self.unet(noisy, t, text).sample
        error = functional.mse_loss(predicted.float(), noise, reduction="none").mean(dim=(1, 2, 3))
        loss = (error * self.weights[t]).mean()
        return loss if self.keep_text else loss + LESSON_WEIGHT * self.lesson.loss(self.text_encoder, rng, LESSON)

    @torch.no_grad()
    def picture(self, steps: int = 20, scale: float = 5.0) -> Image.Image:
        """The sample prompts, two seeds each."""
        prompts = list(SAMPLE_PROMPTS) * 2
        text = torch.cat([self.text_encoder(self.tokens([""] * len(prompts)))[0], self.text_encoder(self.tokens(prompts))[0]])
        latents = torch.randn((len(prompts), CHANNELS, 16, 16), generator=torch.Generator().manual_seed(0))
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            uncond, cond = self.unet(torch.cat([latents] * 2), t, text).sample.chunk(2)
            latents = self.scheduler.step(uncond + scale * (cond - uncond), t, latents, return_dict=False)[0]
        return sheet(to_pictures(self.vae.decoder(latents / self.scale)), len(SAMPLE_PROMPTS))
