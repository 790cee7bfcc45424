"""Units: the threshold of SLD is meant for differences of noise estimates; models predict other
things too.
"""

from __future__ import annotations

from torch import Tensor

from safelatent.errors import BadValueError, nearest

PREDICTION_TYPES = ("epsilon", "v_prediction")


def flow_unit(sigma: float) -> float:
    """As ``noise_unit``, for rectified flow: ``x = (1 - sigma) x_0 + sigma eps`` and ``v = eps -
    x_0`` give ``d_eps = (1 - sigma) d_v``.
    """
    return 1.0 - sigma


def noise_unit(prediction_type: str, alphas_cumprod: Tensor, timestep: float) -> float:
    """The factor ``k`` with which a difference of predictions becomes one of noise estimates, at
    ``timestep``.

    For ``x_t = alpha_t x_0 + sigma_t eps`` and ``v = alpha_t eps - sigma_t x_0`` (Salimans and Ho,
    2022), ``eps = alpha_t v + sigma_t x_t``: at the same latents ``d_eps = alpha_t d_v``. For noise
    prediction it is 1.

    Args:
        prediction_type: of the scheduler: ``epsilon`` or ``v_prediction``.
        alphas_cumprod: (T,), the squares of ``alpha_t``.
        timestep: in [0, T - 1]; between two whole ones, where some samplers go, interpolated.
    """
    if prediction_type == "epsilon":
        return 1.0
    if prediction_type != "v_prediction":
        known = ", ".join(PREDICTION_TYPES)
        raise BadValueError(
            f"prediction type {prediction_type!r}{nearest(prediction_type, PREDICTION_TYPES)}; the gate knows {known}"
        )
    return alpha_squared(alphas_cumprod, timestep) ** 0.5


def alpha_squared(alphas_cumprod: Tensor, timestep: float) -> float:
    """``alpha_t^2`` at a timestep, between two whole ones interpolated."""
    low = min(int(timestep), len(alphas_cumprod) - 1)
    high = min(low + 1, len(alphas_cumprod) - 1)
    weight = timestep - low
    return float((1 - weight) * alphas_cumprod[low] + weight * alphas_cumprod[high])
