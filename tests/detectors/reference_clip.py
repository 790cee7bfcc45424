"""CLIP's vision tower, its preprocessing and Q16, slow and in numpy: written from the definitions,
one image at a time.

Radford et al., 2021 (arXiv 2103.00020); Dosovitskiy et al., 2021 (arXiv 2010.11929); Schramowski et
al., 2022 (arXiv 2202.06675).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def pixels(image: Image.Image, side: int) -> np.ndarray:
    """The shorter edge to ``side``, the middle cut out, normalised: (side, side, 3)."""
    shorter = min(image.size)
    width, height = (int(side * n / shorter) for n in image.size)
    resized = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    top, left = (height - side) // 2, (width - side) // 2
    return (resized[top : top + side, left : left + side] / 255 - MEAN) / STD


def embedding(weights: dict[str, np.ndarray], config: Any, x: np.ndarray) -> np.ndarray:
    """``x``: (side, side, 3); the image's embedding (D,)."""
    w = {
        name.removeprefix("vision_model."): np.asarray(tensor, dtype=np.float64)
        for name, tensor in weights.items()
    }

    def norm(name: str, h: np.ndarray) -> np.ndarray:
        centred = h - h.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(
            (centred**2).mean(axis=-1, keepdims=True) + config.layer_norm_eps
        )
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(name: str, h: np.ndarray) -> np.ndarray:
        return h @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def attention(name: str, h: np.ndarray) -> np.ndarray:
        q, k, v = (linear(f"{name}.{letter}_proj", h) for letter in "qkv")
        width = config.hidden_size // config.num_attention_heads
        heads = []
        for start in range(0, config.hidden_size, width):
            part = slice(start, start + width)
            scores = q[:, part] @ k[:, part].T / np.sqrt(width)
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            heads.append(shares / shares.sum(axis=1, keepdims=True) @ v[:, part])
        return linear(f"{name}.out_proj", np.concatenate(heads, axis=1))

    size, n = config.patch_size, config.image_size // config.patch_size
    tiles = [
        x[r * size : (r + 1) * size, c * size : (c + 1) * size] for r in range(n) for c in range(n)
    ]
    filters = w["embeddings.patch_embedding.weight"]  # (hidden, 3, size, size)
    patches = [np.einsum("hwc,kchw->k", tile, filters) for tile in tiles]
    h = (
        np.stack([w["embeddings.class_embedding"], *patches])
        + w["embeddings.position_embedding.weight"]
    )
    h = norm("pre_layrnorm", h)
    for number in range(config.num_hidden_layers):
        layer = f"encoder.layers.{number}"
        h = h + attention(f"{layer}.self_attn", norm(f"{layer}.layer_norm1", h))
        inner = linear(f"{layer}.mlp.fc1", norm(f"{layer}.layer_norm2", h))
        h = h + linear(f"{layer}.mlp.fc2", inner / (1 + np.exp(-1.702 * inner)))  # quick GELU
    return w["visual_projection.weight"] @ norm("post_layernorm", h[0])


def q16(vectors: np.ndarray, x: np.ndarray) -> tuple[bool, float]:
    """Inappropriate or not, by the larger cosine; and the second softmax of 100 cosines."""
    cos = [
        float(p @ x) / float(np.linalg.norm(p) * np.linalg.norm(x))
        for p in vectors.astype(np.float64)
    ]
    powers = np.exp(100 * np.array(cos))
    return cos[1] > cos[0], float(powers[1] / powers.sum())
