"""What a scheduler says about each evaluation of one call: the mixture of image and noise that the
denoiser gets, and the factor that converts its predictions into noise predictions.

diffusers' schedulers keep their noise in four ways (``Noise``). A scheduler that does so in another
way is refused, since a wrong unit would shift SLD's threshold without a trace. Knows schedulers;
does not know models.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal, cast, get_args

from torch import Tensor

from safelatent.errors import GuardError, UnsupportedError
from safelatent.guidance import noise_level

Prediction = Literal["epsilon", "v_prediction", "flow_prediction"]


class Noise(Enum):
    """Where a scheduler keeps ``alpha`` and ``sigma`` of ``x = alpha x_0 + sigma eps``, with x as
    the denoiser gets it.
    """

    TIMESTEPS = "alpha^2 is alphas_cumprod at the timestep, sigma^2 = 1 - alpha^2"
    SIGMAS = "s is sigmas at the position; alpha = 1 / sqrt(1 + s^2), sigma = s alpha"
    FLOW = "sigma is sigmas at the position; alpha = 1 - sigma"
    EDM = "as SIGMAS, with s in units of sigma_data (Karras et al., 2022, Table 1)"


SCHEDULERS = {
    Noise.TIMESTEPS: (
        "CogVideoXDDIMScheduler",
        "DDIMParallelScheduler",
        "DDIMScheduler",
        "DDPMParallelScheduler",
        "DDPMScheduler",
        "LCMScheduler",
        "PNDMScheduler",
        "TCDScheduler",
    ),
    Noise.SIGMAS: (  # FLOW with use_flow_sigmas
        "DEISMultistepScheduler",
        "DPMSolverMultistepScheduler",
        "DPMSolverSDEScheduler",
        "DPMSolverSinglestepScheduler",
        "EulerAncestralDiscreteScheduler",
        "EulerDiscreteScheduler",
        "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "KDPM2DiscreteScheduler",
        "LMSDiscreteScheduler",
        "SASolverScheduler",
        "UniPCMultistepScheduler",
    ),
    Noise.FLOW: (
        "FlowMatchEulerDiscreteScheduler",
        "FlowMatchHeunDiscreteScheduler",
        "FlowMatchLCMScheduler",
        "LTXEulerAncestralRFScheduler",
    ),
    Noise.EDM: ("EDMDPMSolverMultistepScheduler", "EDMEulerScheduler"),
}
_NOISE = {name: noise for noise, names in SCHEDULERS.items() for name in names}
# Settings under which a known scheduler runs in another way.
_REFUSED = {
    "invert_sigmas": "runs from image to noise",
    "scale_factors": "enlarges the latents between steps",
}


def noise_of(scheduler: Any) -> Noise:
    """Return how the scheduler keeps its noise.

    A subclass is accepted if its ``step`` is that of a known scheduler.

    Raises:
        UnsupportedError: the scheduler, or one of its settings, is not known.
    """
    kind = next((c for c in type(scheduler).__mro__ if "step" in vars(c)), type(scheduler))
    noise = _NOISE.get(kind.__name__) if kind.__module__.startswith("diffusers.") else None
    if noise is None:
        raise UnsupportedError(
            f"{type(scheduler).__name__} keeps its noise in a way that the guard does not know, "
            "and SLD's threshold is measured in noise; use one that suits the model, such as "
            "DDIMScheduler or, for rectified flow, FlowMatchEulerDiscreteScheduler"
        )
    for setting, reason in _REFUSED.items():
        if scheduler.config.get(setting):
            raise UnsupportedError(
                f"{type(scheduler).__name__} with {setting} {reason}, and the guard does not know "
                f"its noise; leave {setting} off"
            )
    return Noise.FLOW if scheduler.config.get("use_flow_sigmas") else noise


def prediction_of(scheduler: Any) -> Prediction:
    """Return what the scheduler takes the model's output for.

    Raises:
        UnsupportedError: it is neither noise, velocity nor, on rectified flow, the flow.
    """
    noise = noise_of(scheduler)
    default = "flow_prediction" if noise is Noise.FLOW else "epsilon"
    prediction = scheduler.config.get("prediction_type", default)
    known = get_args(Prediction) if noise is Noise.FLOW else get_args(Prediction)[:2]
    if prediction not in known:
        raise UnsupportedError(
            f"{type(scheduler).__name__} has prediction_type {prediction!r}, and SLD's threshold "
            f"is measured in noise; the guard converts {', '.join(known)}"
        )
    return cast("Prediction", prediction)


def is_flow(scheduler: Any) -> bool:
    """Return whether the schedule is that of rectified flow, ``x = (1 - sigma) x_0 + sigma eps``.

    Raises:
        UnsupportedError: the scheduler cannot be guarded.
    """
    prediction_of(scheduler)
    return noise_of(scheduler) is Noise.FLOW


def clean_latents(
    scheduler: Any, mixture: tuple[float, float], latents: Tensor, predicted: Tensor
) -> Tensor:
    """Return the ``x_0`` that a prediction stands for, at latents as the denoiser got them.

    For ``eps`` it is ``(x - sigma eps) / alpha``, for ``v = alpha eps - sigma x_0`` it is ``alpha x
    - sigma v``, and for the flow ``v = eps - x_0`` it is ``x - sigma v``.
    """
    noise, prediction, (alpha, sigma) = noise_of(scheduler), prediction_of(scheduler), mixture
    if noise is Noise.EDM:
        velocity = -predicted if prediction == "epsilon" else predicted
        return scheduler.config.sigma_data * (alpha * latents - sigma * velocity)
    if prediction == "flow_prediction":
        return latents - sigma * predicted
    if prediction == "v_prediction":
        return alpha * latents - sigma * predicted
    return (latents - sigma * predicted) / alpha


class Schedule:
    """The schedule of one call, whose evaluations of the guidance count from ``k = 0``.

    A call may begin anywhere in the scheduler's list: image-to-image leaves out its start.

    Args:
        scheduler: of the call, with its timesteps set.
        first: the call's first timestep, as the denoiser got it.
        evaluations: how often the call evaluates the guidance.

    Raises:
        UnsupportedError: the scheduler is not known, it does not say where in its list the call
            begins, or its list ends before the call.
    """

    def __init__(self, scheduler: Any, first: float, evaluations: int) -> None:
        self.scheduler, self.noise = scheduler, noise_of(scheduler)
        self.prediction = prediction_of(scheduler)
        self._set = scheduler.timesteps
        # Read at once, here: at every step each value would make the host wait for the device.
        self.timesteps: list[float] = [float(t) for t in _values(scheduler.timesteps)]
        self._squares = _values(getattr(scheduler, "alphas_cumprod", ()))
        self._sigmas = _values(getattr(scheduler, "sigmas", ()))
        self._between = _values(getattr(scheduler, "sigmas_interpol", ()))
        self.start = _start(scheduler, self.timesteps, first, evaluations)
        if self.start + evaluations > len(self.timesteps):
            raise UnsupportedError(
                f"{type(scheduler).__name__} begins this call at position {self.start} of its "
                f"{len(self.timesteps)} timesteps, of which {evaluations} are needed: its first "
                "ones are equal; take fewer steps or sigmas within the model's training range"
            )

    def timestep(self, k: int) -> float:
        """Return the scheduler's timestep at evaluation ``k``.

        Raises:
            GuardError: the scheduler was set anew since the call began.
        """
        if self.scheduler.timesteps is not self._set:
            raise GuardError(
                "another call of this pipeline began in the middle of this one and set its "
                "scheduler anew; give each thread its own pipeline"
            )
        return self.timesteps[self.start + k]

    def unit(self, k: int) -> float:
        """Return the factor that converts a difference of predictions into one of noise.

        At the same latents, ``eps = alpha v + sigma x`` gives ``d_eps = alpha d_v`` for velocities,
        and ``eps = x + (1 - sigma) v`` the same for flows. A model under EDM that is said to
        predict noise predicts ``-v``.
        """
        alpha, _ = self.mixture(k)
        if self.prediction != "epsilon":
            return alpha
        return -alpha if self.noise is Noise.EDM else 1.0

    def mixture(self, k: int) -> tuple[float, float]:
        """Return ``alpha`` and ``sigma`` of ``x = alpha x_0 + sigma eps``, with x as the denoiser
        gets it; under EDM, x_0 is in units of ``sigma_data``.
        """
        timestep = self.timestep(k)
        if self.noise is Noise.TIMESTEPS:
            square = self._squares[int(timestep)]
            return square**0.5, (1 - square) ** 0.5
        sigma = self._sigma(k)
        if self.noise is Noise.FLOW:
            return 1.0 - sigma, sigma
        if self.noise is Noise.EDM:
            sigma /= self.scheduler.config.sigma_data
        alpha = (1 + sigma**2) ** -0.5
        return alpha, sigma * alpha

    def level(self, k: int) -> float:
        """Return the noise level; see ``NoiseLevel``."""
        return noise_level(*self.mixture(k))

    def levels(self, evaluations: int, order: int) -> list[float]:
        """Return the level of every step; a second-order solver evaluates twice per step."""
        return [self.level(k) for k in range(0, evaluations, order)]

    def _sigma(self, k: int) -> float:
        """At a solver's second look it may be one between two of the list."""
        scheduler, position = self.scheduler, self.start + k
        name = type(scheduler).__name__
        if k % 2 and name.startswith("KDPM2"):
            before = int(name.startswith("KDPM2Ancestral"))
            return self._between[position - before]
        if k % 2 and name.startswith("DPMSolverSDE"):
            sigmas = scheduler.sigmas
            return float(sigmas[position - 1] * sigmas[position]) ** 0.5
        return self._sigmas[position]


def _values(numbers: Any) -> list[float]:
    """Return the numbers of a tensor or an array of one dimension."""
    return numbers.tolist() if hasattr(numbers, "tolist") else list(numbers)


def _start(scheduler: Any, timesteps: list[float], first: float, evaluations: int) -> int:
    """The position at which the call begins: what the scheduler itself will use if it counts
    positions, and else what its timesteps say, of which two may be equal (PNDM).
    """
    for own in ("step_index", "begin_index"):
        if getattr(scheduler, own, None) is not None:
            return int(getattr(scheduler, own))
    found = [n for n, timestep in enumerate(timesteps) if timestep == first]
    if len(found) > 1 and hasattr(scheduler, "index_for_timestep"):
        return int(scheduler.index_for_timestep(first))
    to_the_end = len(timesteps) - evaluations
    if not found or to_the_end in found:  # some denoisers get the timestep in another unit
        return to_the_end
    if len(found) > 1:
        raise UnsupportedError(
            f"{type(scheduler).__name__} has the timestep {first:g} more than once, and this call "
            "does not say at which of them it begins; use another scheduler"
        )
    return found[0]
