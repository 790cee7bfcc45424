"""A model of noise, told as one of velocity: the same pictures from another prediction. Knows
denoisers; does not know the guard.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from torch import Tensor, nn


class Velocity(nn.Module):
    """Around a denoiser that predicts noise; answers ``v = alpha eps - sigma x_0``, which is ``(eps
    - sigma x) / alpha``.
    """

    def __init__(self, unet: Any, alphas_cumprod: Tensor) -> None:
        super().__init__()
        self.unet, self.config, self.alphas_cumprod = unet, unet.config, alphas_cumprod

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.dtype

    @property
    def device(self) -> torch.device:
        return self.unet.device

    def forward(
        self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, **rest: Any
    ) -> tuple[Tensor]:
        """As the denoiser's, and always a tuple."""
        noise = self.unet(
            sample, timestep, encoder_hidden_states, **(rest | {"return_dict": False})
        )[0]
        square = self.alphas_cumprod[timestep]
        return ((noise - (1 - square) ** 0.5 * sample) / square**0.5,)


def as_velocity(pipe: Any) -> Any:
    """``pipe``, whose scheduler has the prediction type ``epsilon``, told in velocity; shares its
    weights and leaves it as it is.
    """
    told = copy(pipe)
    told.unet = Velocity(pipe.unet, pipe.scheduler.alphas_cumprod)
    told.scheduler = type(pipe.scheduler).from_config(
        pipe.scheduler.config, prediction_type="v_prediction"
    )
    return told
