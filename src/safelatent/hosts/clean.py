"""What an image would become if sampling ended now, and where the guard acted: the content of the paper's Fig. 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from safelatent.guidance import classifier_free
from safelatent.hosts.hook import Moment


@dataclass(frozen=True, kw_only=True)
class CleanEstimate:
    """One moment of the sampling of one image.

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
def clean_estimate(pipe: Any, moment: Moment, guidance_scale: float) -> CleanEstimate:
    """The moment of a call's first image, decoded.

    With ``x_t = alpha x_0 + sigma eps``: ``x_0 = (x_t - sigma eps) / alpha``, or ``alpha x_t - sigma v`` for v-prediction.
    """
    correction = moment.correction
    noise = classifier_free(correction.uncond[:1], correction.prompt[:1], guidance_scale)
    scheduler = pipe.scheduler
    square = scheduler.alphas_cumprod[round(moment.timestep)]
    alpha, sigma = float(square) ** 0.5, float(1 - square) ** 0.5
    latents = moment.latents[:1, : noise.shape[1]]
    velocity = scheduler.config.prediction_type == "v_prediction"
    clean = alpha * latents - sigma * noise if velocity else (latents - sigma * noise) / alpha
    decoded = pipe.vae.decode(clean / pipe.vae.config.scaling_factor, return_dict=False)[0]
    image = pipe.image_processor.postprocess(decoded, output_type="pil")[0]
    gamma = torch.zeros(latents.shape[2:]) if correction.gamma is None else correction.gamma[0].abs().sum(dim=0).float().cpu()
    gate = 0.0 if correction.gate is None else float((correction.gate[0] > 0).float().mean())
    return CleanEstimate(i=moment.i, timestep=moment.timestep, image=image, gamma=gamma, gate_open=gate)
