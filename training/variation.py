"""How pictures differ that show the same: what the judge and the CLIP learn to look past."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def vary(pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Softness, light and grain, (B, 3, H, W) in [-1, 1]: generated pictures are never as clean as
    drawn ones.
    """
    soft = functional.avg_pool2d(functional.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, 1)
    shape = (3, len(pixels), 1, 1, 1)
    device = pixels.device if generator is None else generator.device
    a, b, c = torch.rand(shape, generator=generator, device=device).to(pixels.device)
    varied = torch.lerp(pixels, soft, a) * (0.85 + 0.25 * b) + 0.1 * (c - 0.5)
    grain = torch.randn(pixels.shape, generator=generator, device=device)
    return (varied + 0.04 * a * grain.to(pixels.device)).clamp(-1, 1)
