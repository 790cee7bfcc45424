"""The text encoder by itself, on the lesson alone: thousands of texts cost what one step with pictures does.

Where it trains on from a finished model, its states of captions are held where the UNet knows them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.captions import caption
from training.lesson import NAMES, Lesson
from training.scenes import random_scene
from training.texts import TextPool
from training.tokenizer import POSITIONS

TEXT_WIDTH = 192
TEXTS = 256  # a step
CAPTIONS, CAPTION_WEIGHT = 16, 1.0  # captions a step whose states are to stay as they are


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Untrained."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=POSITIONS,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def drift(now: CLIPTextModel, before: CLIPTextModel, tokenizer: CLIPTokenizer, rng: np.random.Generator) -> Tensor:
    """How far the states of captions, the empty one among them, are from those that the UNet knows, as a share of their variance."""
    captions = ["", *(caption(rng, random_scene(rng)) for _ in range(CAPTIONS - 1))]
    tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
    with torch.autocast("cpu", torch.bfloat16):
        own, wanted = now(tokens)[0].float(), before(tokens)[0].float()
    return functional.mse_loss(own, wanted) / (wanted - wanted.mean(dim=0)).square().mean()


class TowerStage:
    """Texts, and what a sentence encoder says of them."""

    average = 0.998
    images_a_step = TEXTS  # texts, here

    def __init__(self, tokenizer: CLIPTokenizer, pool: TextPool, start: Path | None = None) -> None:
        """``start`` is a pipeline folder to train on from; without one, training begins from nothing."""
        self.tokenizer, self.pool = tokenizer, pool
        self.learning_rate = 1e-3 if start is None else 6e-4
        self.text_encoder = new_text_encoder(tokenizer)
        self.before: CLIPTextModel | None = None
        if start is not None:
            self.text_encoder = CLIPTextModel.from_pretrained(start / "text_encoder", dtype=torch.float32)
            self.before = CLIPTextModel.from_pretrained(start / "text_encoder", dtype=torch.float32).eval().requires_grad_(False)
        self.lesson = Lesson(pool, tokenizer, TEXT_WIDTH)
        self.module: Any = nn.ModuleDict({"text_encoder": self.text_encoder, "lesson": self.lesson})

    def loss(self, rng: np.random.Generator) -> Tensor:
        loss = self.lesson.loss(self.text_encoder, rng, TEXTS)
        return loss if self.before is None else loss + CAPTION_WEIGHT * drift(self.text_encoder, self.before, self.tokenizer, rng)

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Cosines of the first names with one another: the text encoder's left, the sentence encoder's right."""
        names = NAMES[:128]
        tokens = self.tokenizer(list(names), padding=True, truncation=True, return_tensors="pt").input_ids
        states = self.text_encoder(tokens).pooler_output
        rows = [self.pool.texts.index(name) for name in names]
        pair = [states - states.mean(dim=0), torch.from_numpy(self.pool.embeddings[rows].astype(np.float32))]
        cosines = torch.cat([functional.normalize(part, dim=1) @ functional.normalize(part, dim=1).T for part in pair], dim=1)
        return Image.fromarray((255 * cosines.clamp(0, 1)).byte().numpy()).resize((1024, 512), Image.Resampling.NEAREST)
