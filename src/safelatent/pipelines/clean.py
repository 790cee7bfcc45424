"""What an image would become if sampling ended now, and where the guard acted: the content of the
paper's Fig. 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from safelatent.errors import UnsupportedError
from safelatent.guidance import classifier_free
from safelatent.guidance.ordered_call import StepRecord
from safelatent.pipelines.schedule import clean_latents


@dataclass(frozen=True, kw_only=True)
class CleanEstimate:
    """One step of the sampling of one image.

    Attributes:
        i: the step, from 0.
        timestep: the scheduler's.
        image: the decoded estimate of the clean image.
        gamma: (h, w), ``|gamma|`` summed over the latent channels; zero in the warm-up.
        gate_open: share of elements at which the gate was open.
    """

    i: int
    timestep: float
    image: Image.Image
    gamma: Tensor
    gate_open: float


@torch.no_grad()
def clean_estimate(pipe: Any, step: StepRecord, guidance_scale: float) -> CleanEstimate:
    """Return the step of a call's first image, decoded.

    Raises:
        UnsupportedError: the latents are packed, and only their pipeline can unpack them.
    """
    if step.latents.dim() != 4:
        raise UnsupportedError(
            f"{type(pipe).__name__} packs its latents, so what they would become cannot be shown; "
            "leave the trace out"
        )
    correction = step.correction
    predicted = classifier_free(correction, guidance_scale)[:1]
    # Inpainting adds channels to the latents, and some models predict a variance beside the noise.
    channels = min(predicted.shape[1], step.latents.shape[1])
    predicted, latents = predicted[:, :channels], step.latents[:1, :channels]
    clean = clean_latents(pipe.scheduler, step.mixture, latents, predicted)
    decoded = pipe.vae.decode(_for_decoder(pipe.vae.config, clean), return_dict=False)[0]
    gamma = torch.zeros(latents.shape[2:])
    if correction.gamma is not None:
        gamma = correction.gamma[0].abs().sum(dim=0).float().cpu()
    return CleanEstimate(
        i=step.i,
        timestep=step.timestep,
        image=pipe.image_processor.postprocess(decoded, output_type="pil")[0],
        gamma=gamma,
        gate_open=0.0
        if correction.gate is None
        else float((correction.gate[0] > 0).float().mean()),
    )


def _for_decoder(config: Any, latents: Tensor) -> Tensor:
    """The latents as the decoder takes them; some models normalise each channel (Playground)."""
    mean, std = config.get("latents_mean"), config.get("latents_std")
    if mean is not None and std is not None:
        mean, std = (torch.tensor(one).view(1, -1, 1, 1).to(latents) for one in (mean, std))
        return latents * std / config.scaling_factor + mean
    return latents / config.scaling_factor + (config.get("shift_factor") or 0.0)
