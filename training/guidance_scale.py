"""Brings the guidance scale that suits the model to Stable Diffusion's 7.5.

Captions of photographs fit only now and then, so Stable Diffusion's estimate with words lies near
to the one without, and wants 7.5. Ours always fit: the UNet as it comes from the diffusion loss
draws best at 3, and is overdone at 7.5. So a copy of it learns to say with words what lies a share
of the way from the teacher's estimate without words to the one with them; at ``SHARE`` times its
scale the teacher says the same. There is no noise in what is asked for, so minutes are enough. (The
diffusion loss with half of the captions wrong comes to the same in theory; ten minutes of it
blurred the details.)
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from training.generator import GeneratorStage, new_unet
from training.glyphs import Glyphs
from training.loop import load_average
from training.texts import TextPool

SHARE = 0.4  # 3 / 7.5


class GuidanceScaleStage(GeneratorStage):
    """The finished UNet as the teacher of its copy."""

    average = 0.99
    overdone_share = 0.75

    def __init__(
        self,
        drawings: Glyphs,
        vae: AutoencoderTiny,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        pool: TextPool,
        teacher: Path,
    ) -> None:
        """``teacher`` is the checkpoint of the generator's stage."""
        super().__init__(drawings, vae, tokenizer, text_encoder, pool)
        self.learning_rate = 4e-4
        load_average(self.module, teacher)
        self.teacher: Any = new_unet().eval().requires_grad_(False)
        self.teacher.load_state_dict(self.unet.state_dict())
        self.teacher.set_attn_processor(AttnProcessor())
        self.nothing = self.states([""])

    def loss(self, rng: np.random.Generator) -> Tensor:
        noisy, t, text, _ = self.batch(rng)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            both = torch.cat([self.nothing.expand_as(text), text])
            uncond, cond = (
                self.teacher(noisy.repeat(2, 1, 1, 1), t.repeat(2), both).sample.float().chunk(2)
            )
        with torch.autocast("cpu", torch.bfloat16):
            predicted = self.unet(noisy, t, text).sample
        return self.weighted(predicted, torch.lerp(uncond, cond, SHARE), t)
