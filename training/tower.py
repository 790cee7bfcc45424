"""The text encoder by itself, before the UNet.

First it learns its names: what the things look like that a plain caption names, 400 captions a
second. Then it trains on with all captions and other people's words, and learns beside it what a
sentence encoder says of texts.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.beginning import begin
from training.captions import name_of, on, where
from training.data import example
from training.device import half_precision
from training.glyphs import Glyphs
from training.latents import Latents
from training.lesson import Lesson
from training.loop import load_average
from training.scenes import Scene, random_scene
from training.sketch import FACTS_AT, Sketch
from training.texts import TextPool
from training.tokenizer import POSITIONS, token_ids
from training.vae import sheet, to_pictures
from training.vocabulary import article

TEXT_WIDTH = 256
READING = 3  # layers; what comes after them is of bare names (``concepts``)
TEXTS = 16  # a step, for the lesson
CAPTIONS = 24  # a step, for the sketch, in the names' part; half as many of each kind later
LESSON_WEIGHT = 0.1
PLAIN = {
    "single": 0.5,
    "pair": 0.3,
    "addition": 0.15,
    "unsafe": 0.05,
}  # kinds of scenes with plain captions
SAMPLE_CAPTIONS = (
    "a red apple", "a dog", "a house on a blue background", "a zebra", "a violin", "a teapot",
    "a shrimp",
    "birthday party", "a cat and a pizza", "a penguin", "a microscope", "a piano",
)  # fmt: skip


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Untrained."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=READING,
        num_attention_heads=4,
        max_position_embeddings=POSITIONS,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def finished(text_encoder: CLIPTextModel, device: torch.device) -> CLIPTextModel:
    """Make a text encoder one that is read and learns no more; returns it."""
    # 77 positions: on a CPU the fused attention takes longer
    text_encoder.set_attn_implementation("eager")
    return text_encoder.eval().requires_grad_(False).to(device)


def parted(text_encoder: CLIPTextModel) -> tuple[CLIPTextModel, nn.Module]:
    """The layers that read, as a text encoder, and the one after them, which learns: its own, or a
    new one that changes nothing yet. What is given stays as it is.
    """
    reader: Any = deepcopy(text_encoder)
    layer, reader.encoder.layers = reader.encoder.layers[-1], reader.encoder.layers[:READING]
    reader.config.num_hidden_layers = READING
    if len(text_encoder.encoder.layers) == READING:
        layer = deepcopy(layer)
        for last in (layer.self_attn.out_proj, layer.mlp.fc2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
    return reader, layer.requires_grad_(True)


def joined(reader: CLIPTextModel, layer: nn.Module) -> CLIPTextModel:
    """The text encoder that ``parted`` took apart."""
    whole: Any = deepcopy(reader)
    whole.encoder.layers.append(deepcopy(layer))
    whole.config.num_hidden_layers = READING + 1
    return whole


def plain(rng: np.random.Generator, kinds: Mapping[str, float] = PLAIN) -> tuple[Scene, str]:
    """A scene, and a caption that names what is in it, where it is said, and its background."""
    scene = random_scene(rng, str(rng.choice(list(kinds), p=list(kinds.values()))))
    text = where(" and ".join(article(name_of(rng, item.thing)) for item in scene.placed), scene)
    return scene, on(text, scene.background)


class NamesStage:
    """Plain captions, and what their pictures look like."""

    average = 0.998
    images_a_step = CAPTIONS  # captions, here
    learning_rate = 1e-3

    def __init__(
        self,
        tokenizer: CLIPTokenizer,
        pool: TextPool,
        drawings: Glyphs,
        latents: Latents,
        start: Path | None = None,
        known: Path | None = None,
    ) -> None:
        """``start`` is a checkpoint of the same parts to resume from; ``known`` the folder of a
        text encoder of another world's drawings, which learns these in half the time.
        """
        self.tokenizer, self.pool = tokenizer, pool
        self.sketch = Sketch(drawings, latents, TEXT_WIDTH)
        self.device = drawings.device
        self.times = drawings.times
        if known is not None:
            self.text_encoder, _ = parted(CLIPTextModel.from_pretrained(known, dtype=torch.float32))
        else:
            self.text_encoder = new_text_encoder(tokenizer)
            begin(self.text_encoder, tokenizer, self.sketch)
        self.text_encoder.to(self.device)
        self.text_encoder.set_attn_implementation(
            "eager"
        )  # 77 positions: on a CPU the fused attention takes longer
        self.lesson = Lesson(pool, tokenizer, TEXT_WIDTH).to(self.device)
        self.module: Any = nn.ModuleDict({"text_encoder": self.text_encoder, "lesson": self.lesson})
        if start is not None:
            load_average(self.module, start)

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Token ids padded to all positions, (B, POSITIONS)."""
        return token_ids(self.tokenizer, captions).to(self.device)

    def states(self, captions: Sequence[str]) -> Tensor:
        """The last states of captions, (B, POSITIONS, TEXT_WIDTH)."""
        with half_precision(self.device):
            return self.text_encoder(self.tokens(captions))[0].float()

    def sketched(
        self, captions: Sequence[str], text_encoder: CLIPTextModel | None = None
    ) -> Tensor:
        """``states`` without those of the padding between the words and the sketch, at which nobody
        looks: a third of the work.

        ``text_encoder`` is another one than that which learns.
        """
        tokens = self.tokenizer(list(captions), padding=True, truncation=True, return_tensors="pt")
        words = tokens.input_ids.to(self.device)
        known = torch.arange(POSITIONS, device=self.device)
        positions = torch.cat([known[: min(words.shape[1], FACTS_AT)], known[FACTS_AT:]])
        words = functional.pad(
            words, (0, len(positions) - words.shape[1]), value=self.tokenizer.pad_token_id
        )
        with half_precision(self.device):
            return (text_encoder or self.text_encoder)(words, position_ids=positions[None])[
                0
            ].float()

    def sketch_loss(self, examples: Iterable[tuple[Scene, str]]) -> Tensor:
        """How far the states of captions are from their scenes' sketches."""
        scenes, captions = zip(*examples, strict=True)
        return self.sketch.loss(self.sketched(captions), scenes)

    def loss(self, rng: np.random.Generator) -> Tensor:
        return self.sketch_loss(plain(rng) for _ in range(self.times * CAPTIONS))

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """What the states of the sample captions say that their first things look like."""
        return sheet(
            to_pictures(self.sketch.picture(self.states(SAMPLE_CAPTIONS))),
            len(SAMPLE_CAPTIONS),
        )


class TowerStage(NamesStage):
    """Plain captions and all others, and texts and what a sentence encoder says of them."""

    def loss(self, rng: np.random.Generator) -> Tensor:
        named = self.sketch_loss(plain(rng) for _ in range(self.times * CAPTIONS // 2))
        told = self.sketch_loss(example(rng, self.pool) for _ in range(self.times * CAPTIONS // 2))
        return (
            named
            + told
            + LESSON_WEIGHT * self.lesson.loss(self.text_encoder, rng, self.times * TEXTS)
        )
