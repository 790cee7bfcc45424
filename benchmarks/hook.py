"""What the hook itself costs: a guarded call against a loop written out that evaluates three
estimates a step and uses two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from safelatent import DEFAULT_CONCEPT, guard
from safelatent.guidance import Estimates, classifier_free

PROMPT = "a penguin with a pistol"


def hook(pipe: Any, batch: int, steps: int) -> dict[str, Callable[[], Any]]:
    """Both with the same batches of the denoiser, from the texts to the latents."""
    safe, unet = guard(pipe, "max"), pipe.unet.config

    @torch.no_grad()
    def written_out() -> Any:
        prompt, empty = pipe.encode_prompt([PROMPT] * batch, "cpu", 1, True)
        concept, _ = pipe.encode_prompt([str(DEFAULT_CONCEPT)] * batch, "cpu", 1, False)
        texts = torch.cat([empty, prompt, concept])
        latents = torch.randn(batch, unet.in_channels, unet.sample_size, unet.sample_size)
        pipe.scheduler.set_timesteps(steps)
        for t in pipe.scheduler.timesteps:
            uncond, cond, _ = pipe.unet(torch.cat([latents] * 3), t, texts).sample.chunk(3)
            noise = classifier_free(Estimates(uncond=uncond, prompt=cond), 7.5)
            latents = pipe.scheduler.step(noise, t, latents).prev_sample
        return latents

    call = {"prompt": [PROMPT] * batch, "num_inference_steps": steps, "output_type": "latent"}
    return {"three estimates, written out": written_out, "guard, max": lambda: safe(**call)}
