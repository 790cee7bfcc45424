"""From ComfyUI's denoised latents to the model's own prediction, and from there to units of noise,
in which SLD's threshold is meant.

ComfyUI hands a guider ``x0``, whatever the model predicts. Each kind is ``x0 = c - scale * p``,
with ``p`` the model's prediction and ``c`` a function of the latents and of sigma, which are the
same for all three conditions. SLD reads differences only, so ``-x0 / scale`` stands for ``p``, the
gate multiplies with ``noise`` (d_eps = noise * d_p), and the prompt's ``x0`` becomes ``x0 + scale *
gamma``. Momentum and gamma stay in the model's own prediction, as in ``safelatent.guard``. With s
for sigma and d for sigma_data (1 but for EDM):

| kind         | latents            | x0                                | scale   | noise   |
|--------------|--------------------|-----------------------------------|---------|---------|
| EPS          | x0 + s eps         | x - s p                           | s       | 1       |
| V_PREDICTION | x0 + s eps         | x d^2 / r^2 - p s d / r           | s d / r | d / r   |
| EDM          | x0 + s eps         | the same, and + for -             | s d / r | d / r   |
| CONST        | (1 - s) x0 + s eps | x - s p                           | s       | 1 - s   |
| COSMOS_RFLOW | x0 + s eps         | (1 - t) x - t p, t = s / (1 + s)  | t       | 1 - t   |

with r = sqrt(s^2 + d^2). In the first kind ``-x0 / scale`` is ``(x - x0) / sigma`` but for ``x``.
EDM's ``p`` has the other sign; the sign of noise is what counts. At one sigma ``x0 + s eps`` gives
d_eps = -d_x0 / s, and ``(1 - s) x0 + s eps`` gives d_eps = -(1 - s) d_x0 / s: that is the last
column.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from safelatent.errors import UnsupportedError
from safelatent.guidance import flow_unit, noise_level


@dataclass(frozen=True, kw_only=True)
class Units:
    """At one sigma.

    Attributes:
        scale: what a difference of predictions is multiplied with to be one of denoised latents,
            but for the sign.
        noise: what it is multiplied with to be one of noise estimates.
        level: how much noise there is (see ``NoiseLevel``).
    """

    scale: float
    noise: float
    level: float


def units(model_sampling: Any, sigma: float) -> Units:
    """Return the units of a model whose ``model_sampling`` is ComfyUI's, at ``sigma``.

    Raises:
        UnsupportedError: a kind of prediction that is not in the table.
    """
    kind = next(
        (c.__name__ for c in type(model_sampling).__mro__ if "calculate_denoised" in vars(c)),
        type(model_sampling).__name__,
    )
    if kind not in _KINDS:
        raise UnsupportedError(
            f"cannot guard a model that predicts as {kind}: its units are not known; "
            f"supported: {', '.join(_KINDS)}"
        )
    return _KINDS[kind](sigma, float(getattr(model_sampling, "sigma_data", 1.0)))


def _eps(sigma: float, _: float) -> Units:
    return Units(scale=sigma, noise=1.0, level=noise_level(1.0, sigma))


def _v(sigma: float, data: float) -> Units:
    alpha = data / (sigma**2 + data**2) ** 0.5
    return Units(scale=sigma * alpha, noise=alpha, level=noise_level(1.0, sigma))


def _flow(sigma: float, _: float) -> Units:
    return Units(scale=sigma, noise=flow_unit(sigma), level=sigma)


def _cosmos(sigma: float, data: float) -> Units:
    return _flow(noise_level(1.0, sigma), data)


_KINDS: dict[str, Callable[[float, float], Units]] = {
    "EPS": _eps,
    "V_PREDICTION": _v,
    "EDM": _v,
    "CONST": _flow,
    "COSMOS_RFLOW": _cosmos,
}
