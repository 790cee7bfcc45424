"""The paper's step, written once more from its equations, row by row and element by element in
plain Python: slow and independent.
"""

from __future__ import annotations

from typing import Any


def published_step(
    e_u: float, e_p: float, e_s: float, nu: float, i: int, s_g: float, sld: Any
) -> tuple[float, float]:
    """One element of one step: the noise estimate and the next momentum (float arithmetic, so
    close, not identical).
    """
    phi = sld.scale * (e_p - e_s)
    mu = min(1.0, abs(phi)) if e_p - e_s < sld.threshold else 0.0
    gamma = mu * (e_s - e_u) + sld.momentum * nu
    nu = sld.decay * nu + (1 - sld.decay) * gamma
    applied = gamma if i >= sld.warmup else 0.0
    return e_u + s_g * (e_p - e_u - applied), nu
