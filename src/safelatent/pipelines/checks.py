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


def check_texts(name: str, value: object) -> None:
    """Refuse what is no text of a call; None is a text that was not given.

    Raises:
        BadValueError: an empty list, something else than text, or text that cannot be encoded.
    """
    if value is None:
        return
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise BadValueError(f"{name} is an empty list; give at least one text")
    for text in texts:
        if not isinstance(text, str):
            raise BadValueError(f"{name} holds {shown(text)}; it must be text")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadValueError(
                f"{name} holds {text[error.start]!r}, half of a character (a lone surrogate); "
                "remove it"
            ) from None
