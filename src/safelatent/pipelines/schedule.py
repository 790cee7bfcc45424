"""What a scheduler says of each evaluation of one call: the unit of its predictions in noise, and
the level of its noise.

Knows diffusers' schedulers; does not know models.
"""

from __future__ import annotations

from typing import Any

from safelatent.errors import UnsupportedError
from safelatent.guidance import alpha_squared, flow_unit, noise_level, noise_unit


class Schedule:
    """Of the call that begins at ``first``, the timestep as the denoiser got it.

    A call may begin anywhere in the scheduler's list: image-to-image leaves out its start.

    Raises:
        UnsupportedError: the scheduler's noise is neither Stable Diffusion's kind nor rectified
            flow.
    """

    def __init__(self, scheduler: Any, first: float) -> None:
        self.scheduler = scheduler
        self.flow = is_flow(scheduler)
        if not self.flow and not hasattr(scheduler, "alphas_cumprod"):
            raise UnsupportedError(
                f"{type(scheduler).__name__} says nothing of the noise at a timestep, which the guard's threshold is measured in; "
                "use another scheduler"
            )
        self.timesteps: list[float] = [float(t) for t in scheduler.timesteps]
        start = getattr(scheduler, "begin_index", None) or 0
        self.start = self.timesteps.index(first) if first in self.timesteps else start

    def timestep(self, k: int) -> float:
        """The scheduler's, at the call's evaluation ``k`` of the guidance, from 0."""
        return self.timesteps[self.start + k]

    def unit(self, k: int) -> float:
        """What a difference of predictions is multiplied with to be one of noise estimates."""
        if self.flow:
            return flow_unit(self._sigma(k))
        return noise_unit(
            self.scheduler.config.prediction_type, self.scheduler.alphas_cumprod, self.timestep(k)
        )

    def mixture(self, k: int) -> tuple[float, float]:
        """``alpha`` and ``sigma`` of ``x = alpha x_0 + sigma eps``."""
        if self.flow:
            sigma = self._sigma(k)
            return 1.0 - sigma, sigma
        square = alpha_squared(self.scheduler.alphas_cumprod, self.timestep(k))
        return square**0.5, (1 - square) ** 0.5

    def level(self, k: int) -> float:
        """See ``NoiseLevel``."""
        return noise_level(*self.mixture(k))

    def levels(self, evaluations: int, order: int) -> list[float]:
        """Of every step of the call; a second-order solver evaluates twice a step."""
        return [self.level(k) for k in range(0, evaluations, order)]

    def _sigma(self, k: int) -> float:
        return float(self.scheduler.sigmas[self.start + k])


def is_flow(scheduler: Any) -> bool:
    """Whether the scheduler's model predicts the velocity of rectified flow."""
    config = scheduler.config
    named = type(scheduler).__name__.startswith("FlowMatch")
    return (
        named
        or bool(config.get("use_flow_sigmas"))
        or config.get("prediction_type") == "flow_prediction"
    )
