"""A model that predicts noise as one that predicts velocity, and the other way round: the same
images from another prediction.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

from safelatent.pipelines.schedule import Prediction, prediction_of


def as_noise(pipe: Any) -> Any:
    """Return ``pipe`` with a denoiser that predicts noise; itself if it does so already."""
    return _as(pipe, "epsilon")


def as_velocity(pipe: Any) -> Any:
    """Return ``pipe`` with a denoiser that predicts velocity; itself if it does so already."""
    return _as(pipe, "v_prediction")


class Converted(nn.Module):
    """Another prediction from a denoiser's: ``v = alpha eps - sigma x_0`` is ``(eps - sigma x) /
    alpha``, and ``eps`` is ``alpha v + sigma x``.

    Args:
        unet: predicts noise, or velocity.
        to: what to predict: the other of the two.
        alphas_cumprod: of its scheduler, ``alpha^2`` by timestep.
    """

    def __init__(self, unet: Any, to: Prediction, alphas_cumprod: Tensor) -> None:
        super().__init__()
        self.unet, self.config, self.to_velocity = unet, unet.config, to == "v_prediction"
        self.alphas_cumprod = alphas_cumprod

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.dtype

    @property
    def device(self) -> torch.device:
        return self.unet.device

    def forward(
        self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, **rest: Any
    ) -> tuple[Tensor]:
        """Call the denoiser; always return a tuple."""
        rest |= {"return_dict": False}
        predicted = self.unet(sample, timestep, encoder_hidden_states, **rest)[0]
        square = self.alphas_cumprod[timestep]
        alpha, sigma = square**0.5, (1 - square) ** 0.5
        if self.to_velocity:
            return ((predicted - sigma * sample) / alpha,)
        return (alpha * predicted + sigma * sample,)


def _as(pipe: Any, to: Prediction) -> Any:
    """Share the pipeline's weights and leave it as it is."""
    if prediction_of(pipe.scheduler) == to:
        return pipe
    other = copy(pipe)
    other.unet = Converted(pipe.unet, to, pipe.scheduler.alphas_cumprod)
    other.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, prediction_type=to)
    return other
