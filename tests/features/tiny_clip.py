"""An untrained CLIP of a few thousand weights, saved as transformers saves one, and pictures, which
are made without transformers: a process that embeds them otherwise needs seconds less.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def save_clip(folder: Path, seed: int = 0, size: int = 16, resample: int = 3) -> Path:
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    from tests import tiny

    torch.manual_seed(seed)
    tokenizer = tiny.tokenizer()
    tower = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    config = CLIPConfig(
        vision_config={**tower, "num_hidden_layers": 1, "image_size": size, "patch_size": 8},
        text_config={
            **tower,
            "num_hidden_layers": 1,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 12,
            "eos_token_id": tokenizer.eos_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        projection_dim=6,
    )
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    sides = {"height": size, "width": size}
    CLIPImageProcessorPil(
        size={"shortest_edge": size}, crop_size=sides, resample=resample
    ).save_pretrained(folder)
    return folder


def picture(seed: int, size: int = 24) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, size=(size, size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def save_pictures(folder: Path, count: int, start: int = 0) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{n:03d}.png" for n in range(start, start + count)]
    for n, file in enumerate(files, start):
        picture(n).save(file)
    return files
