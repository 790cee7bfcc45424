"""The mathematics without any pipeline: your own denoising loop, here with a model that is a
formula.
"""

import torch

from safelatent.guidance import STRONG, Estimates, classifier_free


def model(latents: torch.Tensor, centre: float) -> torch.Tensor:
    """The noise in latents whose clean image is ``centre`` everywhere."""
    return latents - centre


latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
state = STRONG.init(latents)
for i in range(50):
    estimates = Estimates(
        uncond=model(latents, 0.0), prompt=model(latents, 1.0), concept=model(latents, 1.01)
    )
    correction, state = STRONG.correct(estimates, state, i)
    noise = classifier_free(correction, 2.0)
    latents = latents - 0.1 * noise
print(f"mean of the result: {latents.mean():.3f} (unguided it would be near 2)")
