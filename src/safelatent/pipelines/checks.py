"""What of a model, and of a call's numbers, can be refused before anything runs."""

from __future__ import annotations

import math
from typing import Any

from safelatent.errors import BadValueError, NotGuardedError
from safelatent.guidance.noise import real_number, shown


def is_distilled(denoiser: Any) -> bool:
    """Return whether the configuration says that the denoiser was distilled, so that it makes no
    unconditional estimate.
    """
    return denoiser.config.get("time_cond_proj_dim") is not None or bool(
        denoiser.config.get("guidance_embeds")
    )


def checked_scale(name: str, value: object, least: float = 1.0) -> float:
    """Return a guidance scale as a float.

    Raises:
        BadValueError: it is not a finite number.
        NotGuardedError: it is ``least`` or less, where classifier-free guidance is off.
    """
    scale = real_number(value)
    if scale is None or not math.isfinite(scale):
        raise BadValueError(f"{name} is {shown(value)}; it must be a finite number above {least:g}")
    if scale <= least:
        raise NotGuardedError(
            f"{name} is {scale:g}: classifier-free guidance is off and the guard could not act; "
            f"give a scale above {least:g}"
        )
    return scale


def whole_number(name: str, value: object, least: int = 1) -> int:
    """Return a count as an int.

    Raises:
        BadValueError: it is not a whole number of at least ``least``.
    """
    number = real_number(value)
    if number is None or not number.is_integer() or number < least:
        message = f"{name} is {shown(value)}; it must be a whole number of at least {least}"
        raise BadValueError(message)
    return int(number)
