"""The generator: a UNet, trained by the diffusion loss on the autoencoder's latents and a finished
text encoder's states.

The text encoder has learnt before by itself (``training.tower``): words that mean much the same lie
side by side, whether or not a picture was ever captioned with them, and the last positions hold a
sketch of what is to be drawn.

The noise schedule is Stable Diffusion's, and the UNet predicts the velocity, as Stable Diffusion
2.1's does: of so many channels the noise itself is more than narrow layers can pass on exactly, and
where there is much of it words decide what is drawn. The latents are few and have many channels: a
state of the sketch says one of them, and all layers work at their one size.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTokenizer

from training.data import example
from training.device import half_precision
from training.glyphs import Glyphs, paint
from training.latents import CHANNELS, Latents
from training.scenes import Scene, random_scene
from training.shared_text import SharedTextProcessor
from training.sketch import LATENTS
from training.texts import TextPool
from training.tokenizer import token_ids
from training.tower import TEXT_WIDTH, finished
from training.vae import LATENT_SCALE, sheet, to_pictures

DRAWS = 4  # noise levels a scene: its text is paid for once for all of them
EMPTY_SHARE = (
    0.1  # of the scenes of a step: the caption is empty, as for the estimate without words
)
# Guidance leaves latents on the way that are further from the mean than any scene's, most so among
# much noise. Half of the examples are overdone like that, by up to so many times and less where
# there is less noise; the scene as it is remains what is asked for.
OVERDONE = 2.0
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


WIDTH = 144  # of all layers


def new_unet() -> UNet2DConditionModel:
    """Untrained."""
    return UNet2DConditionModel(
        sample_size=LATENTS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        block_out_channels=(WIDTH,),
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
        prediction_type="v_prediction",
        set_alpha_to_one=False,
        steps_offset=1,
    )


class GeneratorStage:
    """Scenes, captioned, as noisy latents."""

    average = 0.998
    images_a_step = 32
    overdone_share = 0.5
    sample_scale = 2.0  # of guidance, in the sample pictures

    def __init__(
        self,
        drawings: Glyphs,
        latents: Latents,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        pool: TextPool,
    ) -> None:
        """``text_encoder`` is finished."""
        self.drawings, self.tokenizer, self.pool, self.map = drawings, tokenizer, pool, latents
        self.device = drawings.device
        self.images_a_step = self.images_a_step * drawings.times
        self.learning_rate = 8e-4
        self.text_encoder = finished(text_encoder, self.device)
        self.unet = new_unet()
        self.unet.set_attn_processor(SharedTextProcessor())
        self.module: Any = nn.ModuleDict({"unet": self.unet}).to(self.device)
        self.scheduler = new_scheduler()
        alphas = self.scheduler.alphas_cumprod
        # an error of the velocity by what it makes of the picture, in latents of deviation 1
        self.weights = ((1 - alphas) / LATENT_SCALE**2).to(self.device)
        self.overdoing = (OVERDONE * alphas.sqrt() * (1 - alphas)).to(self.device)
        rng = np.random.default_rng(3)
        self.mean = self.latents([random_scene(rng) for _ in range(64)]).mean(dim=0)

    @torch.no_grad()
    def states(self, captions: Sequence[str], text_encoder: Any = None) -> Tensor:
        """The text encoder's last states, (B, POSITIONS, TEXT_WIDTH); or another one's."""
        tokens = token_ids(self.tokenizer, captions).to(self.device)
        with half_precision(self.device):
            return (text_encoder or self.text_encoder)(tokens)[0].float()

    @torch.no_grad()
    def latents(self, scenes: Sequence[Scene]) -> Tensor:
        """What is drawn, (B, CHANNELS, LATENTS, LATENTS), scaled."""
        return LATENT_SCALE * self.map(paint(scenes, self.drawings))

    def noisy(self, latents: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy latents, noise levels (B,), and the velocity that is to be found; without
        ``noise`` it is drawn.
        """
        rows = len(latents)
        t = torch.randint(len(self.weights), (rows,), device=self.device)
        overdone = torch.rand(rows, device=self.device) < self.overdone_share
        by = self.overdoing[t] * torch.rand(rows, device=self.device) * overdone
        noise = torch.randn_like(latents) if noise is None else noise
        noise = noise + by[:, None, None, None] * (latents - self.mean)
        wanted = self.scheduler.get_velocity(latents, noise, t)
        return self.scheduler.add_noise(latents, noise, t), t, wanted

    def loss(self, rng: np.random.Generator) -> Tensor:
        count = self.images_a_step // DRAWS
        examples = (example(rng, self.pool, EMPTY_SHARE) for _ in range(count))
        scenes, captions = zip(*examples, strict=True)
        noisy, t, wanted = self.noisy(self.latents(scenes).repeat(DRAWS, 1, 1, 1))
        return self.weighted(self.estimate(noisy, t, self.states(captions)), wanted, t)

    def estimate(self, noisy: Tensor, t: Tensor, text: Tensor, unet: Any = None) -> Tensor:
        """The velocity of ``noisy`` (B, C, H, W) at levels (B,), by texts (B / r, length, width).

        ``unet`` is another one than that which learns.
        """
        with half_precision(self.device):
            return (unet or self.unet)(noisy, t, text).sample.float()

    def weighted(
        self, predicted: Tensor, wanted: Tensor, t: Tensor, times: Tensor | float = 1.0
    ) -> Tensor:
        """Squared error of estimates, (B, C, H, W), by what it counts at the noise levels (B,), and
        so many times that, (B,).
        """
        error = functional.mse_loss(predicted, wanted, reduction="none").mean(dim=(1, 2, 3))
        return (error * self.weights[t] * times).mean()

    @torch.no_grad()
    def picture(self, steps: int = 20) -> Image.Image:
        """The sample prompts, two seeds each."""
        prompts = list(SAMPLE_PROMPTS) * 2
        text = self.states([""] * len(prompts) + prompts)
        shape = (len(prompts), CHANNELS, LATENTS, LATENTS)
        latents = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            uncond, cond = self.estimate(torch.cat([latents] * 2), t, text).chunk(2)
            guided = uncond + self.sample_scale * (cond - uncond)
            latents = self.scheduler.step(guided, t, latents, return_dict=False)[0]
        pictures = to_pictures(self.map.picture(latents / LATENT_SCALE))
        return sheet(pictures, len(SAMPLE_PROMPTS))
