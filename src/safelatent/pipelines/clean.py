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
from safelatent.guidance.guided_call import StepRecord
from safelatent.pipelines.schedule import is_flow


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
def clean_estimate(pipe: Any, moment: StepRecord, guidance_scale: float) -> CleanEstimate:
    """The moment of a call's first image, decoded.

    With ``x = alpha x_0 + sigma eps``: ``x_0`` is ``(x - sigma eps) / alpha``, ``alpha x - sigma
    v`` for ``v = alpha eps - sigma x_0``, and ``x - sigma v`` for the flow ``v = eps - x_0``.

    Raises:
        UnsupportedError: the latents are packed, and only their pipeline knows how to unpack them.
    """
    if moment.latents.dim() != 4:
        raise UnsupportedError(
            f"{type(pipe).__name__} packs its latents, so what they would become cannot be shown; leave the trace out"
        )
    correction, (alpha, sigma) = moment.correction, moment.mixture
    predicted = classifier_free(correction, guidance_scale)[:1]
    # Inpainting adds channels to the latents, and some models predict a variance beside the noise.
    channels = min(predicted.shape[1], moment.latents.shape[1])
    predicted, latents = predicted[:, :channels], moment.latents[:1, :channels]
    if is_flow(pipe.scheduler):
        clean = latents - sigma * predicted
    elif pipe.scheduler.config.prediction_type == "v_prediction":
        clean = alpha * latents - sigma * predicted
    else:
        clean = (latents - sigma * predicted) / alpha
    vae = pipe.vae.config
    decoded = pipe.vae.decode(
        clean / vae.scaling_factor + (vae.get("shift_factor") or 0.0), return_dict=False
    )[0]
    image = pipe.image_processor.postprocess(decoded, output_type="pil")[0]
    gamma = (
        torch.zeros(latents.shape[2:])
        if correction.gamma is None
        else correction.gamma[0].abs().sum(dim=0).float().cpu()
    )
    gate = 0.0 if correction.gate is None else float((correction.gate[0] > 0).float().mean())
    return CleanEstimate(
        i=moment.i, timestep=moment.timestep, image=image, gamma=gamma, gate_open=gate
    )
