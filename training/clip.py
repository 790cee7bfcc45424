"""The embedded world's CLIP, trained contrastively on scenes and captions.

Its text tower is the pipeline's text encoder, frozen; what learns is the image tower, both
projections and the scale.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPTextModel, CLIPTokenizer

from safelatent.models.clip_model import CLIP, WEIGHTS, text_tower_sha256
from safelatent.storage import write_whole
from training.captions import caption
from training.device import Place, half_precision
from training.glyphs import Glyphs, glyphs, paint
from training.loop import Budget, load_average, train
from training.package import PACKAGED
from training.scenes import Scene, random_scene
from training.vae import sheet, shrunk, to_pictures
from training.variation import vary

PROJECTION, WIDTH, LAYERS, HEADS, PATCH = 128, 160, 4, 5, 8
IMAGE = 64  # pixels, both ways, that pictures are brought to
UNSAFE_SHARE = (
    0.4  # of scenes: there is more to tell apart in them than their share of the world would teach
)
SAMPLE_TEXTS = (
    "a dog",
    "a red apple",
    "a panda with a knife",
    "violence",
    "a scary night",
    "a cat and a pizza",
)


def mixed_scene(rng: np.random.Generator, unsafe_share: float = UNSAFE_SHARE) -> Scene:
    """A scene with an unsafe thing in ``unsafe_share`` of the cases; every third safe one is a
    pair.
    """
    if rng.random() < unsafe_share:
        return random_scene(rng, "addition" if rng.random() < 0.85 else "unsafe")
    return random_scene(rng, "pair" if rng.random() < 1 / 3 else "single")


def new_clip(text: CLIPTextModel) -> CLIPModel:
    """An untrained image tower beside ``text``."""
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "image_size": IMAGE,
        "patch_size": PATCH,
        "projection_dim": PROJECTION,
    }
    clip = CLIPModel(
        CLIPConfig(
            text_config=text.config.to_dict(), vision_config=vision, projection_dim=PROJECTION
        )
    )
    clip.text_model = text.eval().requires_grad_(False)
    return clip


def same_meaning(scenes: Sequence[Scene], captions: Sequence[str]) -> Tensor:
    """(B, B) bool: where picture and caption of different rows fit as well as those of one row, so
    that neither may count as wrong.
    """
    shown: dict[object, int] = {}
    said: dict[str, int] = {}
    contents = [
        (frozenset(item.thing for item in scene.placed), scene.background) for scene in scenes
    ]
    a = torch.tensor([shown.setdefault(content, len(shown)) for content in contents])
    b = torch.tensor([said.setdefault(text, len(said)) for text in captions])
    same = (a[:, None] == a) | (b[:, None] == b)
    return same.fill_diagonal_(False)


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """CLIP's loss (Radford et al., 2021), both ways; pairs of the same meaning are left out.

    Args:
        image, text: embeddings (B, D), of any length.
        scale: the logarithm of what the cosines are multiplied with, at most 100.
        same: (B, B) bool, what is neither right nor wrong.
    """
    cosines = functional.normalize(image, dim=1) @ functional.normalize(text, dim=1).T
    logits = (scale.exp().clamp(max=100) * cosines).masked_fill(same, -torch.inf)
    own = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


class ClipStage:
    """Scenes and their captions, as pairs to distinguish from the other pairs of the batch."""

    learning_rate = 1e-3
    average = 0.995
    images_a_step = 64

    def __init__(
        self,
        drawings: Glyphs,
        text: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        start: dict[str, Tensor] | None = None,
    ) -> None:
        """``start`` holds the weights of another CLIP's image tower and projections, to train on
        from.
        """
        self.drawings, self.tokenizer, self.device = drawings, tokenizer, drawings.device
        self.text = text.to(self.device)
        self.images_a_step = self.images_a_step * drawings.times
        self.module: Any = new_clip(text).to(self.device)
        self.module.vision_model.set_attn_implementation(
            "eager"
        )  # 65 tokens: on a CPU the fused attention takes 1.7 times as long
        self.module.text_model = (
            nn.Identity()
        )  # frozen and stored elsewhere: no checkpoint holds it
        if start is not None:
            self.module.load_state_dict(start)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[list[Scene], list[str], Tensor]:
        """Fresh scenes, their captions and their pixels (B, 3, IMAGE, IMAGE)."""
        scenes = [mixed_scene(rng) for _ in range(size)]
        pixels = shrunk(paint(scenes, self.drawings), IMAGE)
        return scenes, [caption(rng, scene) for scene in scenes], pixels

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(B, D), with a gradient for the projection alone."""
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            pooled = self.text(tokens.input_ids.to(self.device)).pooler_output
        return self.module.text_projection(pooled)

    def embed_images(self, pixels: Tensor) -> Tensor:
        """(B, D)."""
        return self.module.get_image_features(pixel_values=pixels).pooler_output

    def loss(self, rng: np.random.Generator) -> Tensor:
        scenes, captions, pixels = self.batch(rng, self.images_a_step)
        with half_precision(self.device):
            image, text = self.embed_images(vary(pixels)), self.embed_texts(captions)
        return contrastive_loss(
            image.float(),
            text.float(),
            self.module.logit_scale,
            same_meaning(scenes, captions).to(self.device),
        )

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """For each sample text a row of the eight scenes of 256 that are nearest to it."""
        pixels = self.batch(np.random.default_rng(1), 256)[2]
        images = functional.normalize(self.embed_images(pixels), dim=1)
        nearest = (self.embed_texts(SAMPLE_TEXTS) @ images.T).topk(8, dim=1).indices.flatten()
        return sheet(to_pictures(pixels[nearest]), 8)


def load_text(pipeline: Path) -> tuple[CLIPTextModel, CLIPTokenizer]:
    """A pipeline's text encoder, single precision, and its tokenizer."""
    text = CLIPTextModel.from_pretrained(pipeline / "text_encoder", dtype=torch.float32)
    return text, CLIPTokenizer.from_pretrained(pipeline / "tokenizer")


def clip_stage(
    work: Path, pipeline: Path, start: Path | None = None, place: Place | None = None
) -> ClipStage:
    """The stage on the drawings below ``work``; ``start`` is the folder of a CLIP to train on from,
    beside whichever text encoder.
    """
    weights = (
        None
        if start is None
        else {name: tensor.float() for name, tensor in load_file(start / WEIGHTS).items()}
    )
    drawings = glyphs(work).on(place or Place())
    return ClipStage(drawings, *load_text(pipeline), weights)


def checkpoint_folder(work: Path, pipeline: Path) -> Path:
    """A checkpoint belongs to the text encoder that it was trained beside: another one starts anew,
    in another folder.
    """
    return work / f"clip-{text_tower_sha256(load_text(pipeline)[0])[:8]}"


def save_clip(clip: CLIPModel, folder: Path) -> None:
    """Write what is not in the pipeline to ``folder``: image tower, projections and scale in half
    precision, and the configuration.
    """
    own = {
        name: tensor
        for name, tensor in clip.state_dict().items()
        if not name.startswith("text_model.")
    }
    settings = {
        "projection_dim": clip.projection_dim,
        "text_tower_sha256": text_tower_sha256(clip.text_model),
        "vision_config": clip.vision_model.config.to_diff_dict(),
    }
    weights = {name: tensor.half().contiguous() for name, tensor in own.items()}
    write_whole(folder / WEIGHTS, save(weights))
    write_whole(folder / "config.json", (json.dumps(settings, indent=2) + "\n").encode())


def package_clip(checkpoint: Path, pipeline: Path, folder: Path) -> None:
    """From a checkpoint's averaged weights to ``folder``."""
    text, _ = load_text(pipeline)
    clip: Any = new_clip(text)
    clip.text_model = nn.Identity()
    load_average(clip, checkpoint)
    clip.text_model = text
    save_clip(clip, folder)


def train_clip(
    work: Path,
    budget: Budget,
    pipeline: Path = PACKAGED,
    folder: Path = CLIP,
    *,
    start: Path | None = None,
    place: Place | None = None,
) -> None:
    """Train beside ``pipeline``'s text encoder, from the checkpoint when there is one, and write
    the result to ``folder``.

    With no minutes, ``start`` itself comes to stand beside the text encoder: for one that left the
    states of captions where they were.
    """
    stage = partial(clip_stage, work, pipeline, start, place)
    if budget.minutes > 0:
        package_clip(train(stage, checkpoint_folder(work, pipeline), budget), pipeline, folder)
    else:
        clip = stage().module
        clip.text_model = load_text(pipeline)[0]
        save_clip(clip, folder)
