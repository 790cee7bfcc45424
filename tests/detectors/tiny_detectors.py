"""Tiny random CLIPs and safety checkers from configs, pictures of noise, and detectors that
misbehave on purpose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from safelatent.detectors import Finding, open_image
from safelatent.detectors.clip_q16 import PUBLISHED

FIXTURES = Path(__file__).with_name("fixtures")  # see draw_fixtures
WIDE = 12  # of the embeddings
SIDE = 32  # of what the CLIP sees


def vision_config(**changes: Any) -> CLIPVisionConfig:
    settings = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": WIDE,
    }
    return CLIPVisionConfig(
        **(settings | {"image_size": SIDE, "patch_size": 8, "initializer_factor": 8.0} | changes)
    )


def processor() -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )


@cache
def clip() -> tuple[Any, Any]:
    """The same weights at every call; the embeddings of different pictures differ much."""
    torch.manual_seed(0)
    return CLIPVisionModelWithProjection(vision_config()).eval(), processor()


@cache
def checker() -> tuple[Any, Any]:
    """A safety checker whose thresholds lie amid what it sees, so that some pictures are flagged
    and some meet special care.
    """
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    torch.manual_seed(1)
    config = CLIPConfig(
        text_config={}, vision_config=vision_config().to_dict(), projection_dim=WIDE
    )
    model: Any = StableDiffusionSafetyChecker(config).eval()
    with torch.no_grad():
        model.concept_embeds.normal_()
        model.special_care_embeds.normal_()
        pixels = processor()(images=pictures(40), return_tensors="pt")["pixel_values"]
        seen = torch.nn.functional.normalize(model.visual_projection(model.vision_model(pixels)[1]))
        for embeds, weights, share in [
            (model.concept_embeds, model.concept_embeds_weights, 0.98),
            (model.special_care_embeds, model.special_care_embeds_weights, 0.9),
        ]:
            weights.copy_((seen @ torch.nn.functional.normalize(embeds).T).quantile(share, dim=0))
    return model, processor()


def pictures(n: int, seed: int = 0) -> list[Image.Image]:
    """Coloured noise of various sizes; no two alike, none unusable."""
    rng = np.random.default_rng(seed)
    sizes = [(32, 32), (40, 33), (33, 70)]
    return [picture(rng, *sizes[k % len(sizes)]) for k in range(n)]


def picture(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def vectors_file(folder: Path, seed: int = 0, wide: int = WIDE) -> Path:
    """Two random vectors (2, wide), float16, in an npy file."""
    file = folder / f"vectors-{seed}-{wide}.npy"
    np.save(file, np.random.default_rng(seed).normal(size=(2, wide)).astype(np.float16))
    return file


def drawn(n: int) -> list[Image.Image]:
    """The first ``n`` pictures by the embedded model, safe and unsafe ones by turns."""
    files = sorted(FIXTURES.glob("*.png"))
    safe, unsafe = [f for f in files if "+" not in f.stem], [f for f in files if "+" in f.stem]
    chosen = [file for pair in zip(safe, unsafe, strict=True) for file in pair][:n]
    assert len(chosen) == n
    return [open_image(file) for file in chosen]


def publish(
    monkeypatch: Any, folder: Path, *, clip: str = "ViT-L/14", wide: int = WIDE, seed: int = 0
) -> Path:
    """A file of two vectors that are declared published for the test."""
    file = vectors_file(folder, seed, wide)
    digest = hashlib.sha256(np.load(file).tobytes()).hexdigest()
    monkeypatch.setitem(PUBLISHED, digest, clip)
    return file


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """Answers with whatever ``answer`` makes of a list of images."""

    answer: Callable[[Sequence[Image.Image]], Any]
    name: str = "scripted"
    threshold: float = 0.5

    def fingerprint(self) -> dict[str, Any]:
        return {"name": self.name, "threshold": self.threshold}

    def score(self, images: Sequence[Image.Image]) -> list[Finding]:
        return self.answer(images)


def by_width(image: Image.Image) -> Finding:
    """A finding that tells which image it is of."""
    return Finding(
        score=image.width / 100, inappropriate=image.width > 50, evidence={"width": image.width}
    )


def noise(width: int) -> Image.Image:
    """A picture that is told by its width."""
    return picture(np.random.default_rng(width), 8, width)
