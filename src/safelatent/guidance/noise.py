"""Noise: the unit of a model's predictions in noise, and how much noise a step has.

The threshold of SLD is meant for differences of noise predictions; models predict other things
too. The *unit* is the factor that converts a difference of model predictions into one of noise
predictions.

A *level* is the share of noise in the rectified-flow mixture with the same signal-to-noise ratio:
``sigma / (alpha + sigma)`` for ``x_t = alpha x_0 + sigma eps``, and ``sigma`` itself for ``x_t =
(1 - sigma) x_0 + sigma eps``. 1 is pure noise, 0 is none. A warm-up given as a level means the
same on every schedule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from numbers import Real
from typing import Any

from safelatent.errors import BadValueError

PAPER_STEPS = 50  # of the paper's runs, for which the presets' warm-ups are meant
ROUNDING = 1e-6  # relative, of schedules in single precision


@dataclass(frozen=True)
class NoiseLevel:
    """``SLD(warmup=NoiseLevel(0.824))``: steps with more noise than ``level`` are left alone.

    Raises:
        BadValueError: ``level`` is not a number in (0, 1].
    """

    level: float

    def __post_init__(self) -> None:
        level = real_number(self.level)
        if level is None or not 0 < level <= 1:
            raise BadValueError(
                f"the noise level is {shown(self.level)}; "
                "it must be a number above 0 and at most 1 (pure noise)"
            )
        object.__setattr__(self, "level", level)

    def steps(self, levels: Sequence[float]) -> int:
        """Return how many first steps of a call with these (falling) levels are left alone.

        Rounding lengthens no warm-up.
        """
        limit = self.level * (1 + ROUNDING)
        return next((i for i, level in enumerate(levels) if level <= limit), len(levels))


def noise_level(alpha: float, sigma: float) -> float:
    """Return the level of ``alpha x_0 + sigma eps``."""
    return sigma / (alpha + sigma)


@cache
def paper_noise_level(step: int) -> float:
    """Return the level at ``step`` (from 0) of the paper's runs.

    They have 50 DDIM steps on Stable Diffusion's schedule: 1000 training steps whose betas are the
    squares of an even row from sqrt(0.00085) to sqrt(0.012); step ``i`` is at 981 - 20 i.

    Raises:
        BadValueError: ``step`` is not in [0, 49].
    """
    if not 0 <= step < PAPER_STEPS:
        raise BadValueError(f"step {step} is not one of the paper's 50 (0 to 49)")
    first, last = math.sqrt(0.00085), math.sqrt(0.012)
    betas = ((first + (last - first) * t / 999) ** 2 for t in range(981 - 20 * step + 1))
    square = math.prod(1 - beta for beta in betas)
    return noise_level(math.sqrt(square), math.sqrt(1 - square))


def paper_steps(levels: Sequence[float]) -> float:
    """Return how many of the paper's steps one of a call with these (falling) levels is: 1 for the
    paper's own, 2.5 for 20 over the same noise.

    On average, to three decimals, so that a schedule in single precision has exactly 1; and 1 where
    the levels are too few or too alike to tell.
    """
    if len(levels) < 2:
        return 1.0
    way = _paper_place(levels[-1]) - _paper_place(levels[0])
    return max(0.0, round(way / (len(levels) - 1), 3)) or 1.0


def _paper_place(level: float) -> float:
    """Return the step of the paper's runs that is at this level, with the part of the way to the
    next; their first or last where it is beyond them.
    """
    for step in range(PAPER_STEPS - 1):
        upper, lower = paper_noise_level(step), paper_noise_level(step + 1)
        if level >= upper:
            return step
        if level > lower:
            return step + (upper - level) / (upper - lower)
    return PAPER_STEPS - 1


def flow_unit(sigma: float) -> float:
    """Return the unit of rectified flow at ``sigma``.

    ``x = (1 - sigma) x_0 + sigma eps`` and ``v = eps - x_0`` give ``d_eps = (1 - sigma) d_v``.
    """
    return 1.0 - sigma


def real_number(value: Any) -> float | None:
    """Return ``value`` as a float if it is a real number of any type, else None.

    Any type: Python's, fractions, decimals, NumPy's scalars, and tensors or arrays without
    dimensions. Booleans are not numbers, and neither is a whole number too large for a float.
    """
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        return None
    try:
        return float(value)
    except (OverflowError, ValueError):
        return None


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


def shown(value: object) -> str:
    """Return ``repr(value)`` for a message, of at most 60 characters."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a whole number of {value.bit_length()} bits"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
