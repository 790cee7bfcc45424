"""A safety per image of a batch: the same prompt, four ways, in one call."""

import torch

from safelatent import guard, load

pipe = load("embedded")
strengths = ("weak", "medium", "strong", "max")
safe = guard(pipe, strengths)

generators = [torch.Generator().manual_seed(3) for _ in strengths]
out = safe(["a scary night"] * 4, generator=generators)
for strength, image, receipt in zip(strengths, out.images, out.receipts, strict=True):
    image.save(f"night-{strength}.png")
    print(f"{strength}: guided in {receipt.guided_steps} of {receipt.steps} steps")
