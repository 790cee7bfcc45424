"""Noise levels: how far a step is, said without counting steps, so that a warm-up means the same on
every schedule.

A level is the share of noise in the rectified-flow mixture with the same signal-to-noise ratio: for
``x_t = alpha x_0 + sigma eps`` it is ``sigma / (alpha + sigma)``, and for ``x_t = (1 - sigma) x_0 +
sigma eps`` it is ``sigma`` itself. 1 is pure noise, 0 is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Real

from safelatent.errors import BadValueError

ROUNDING = 1e-6  # relatively, of schedules in single precision


@dataclass(frozen=True)
class NoiseLevel:
    """``SLD(warmup=NoiseLevel(0.824))``: steps with more noise than ``level`` are left alone.

    Raises:
        BadValueError: not a number in (0, 1].
    """

    level: float

    def __post_init__(self) -> None:
        if (
            isinstance(self.level, bool)
            or not isinstance(self.level, Real)
            or not 0 < float(self.level) <= 1
        ):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadValueError(
                f"the noise level is {self.level!r}; it must be a number above 0 and at most 1 (pure noise)"
            )
        object.__setattr__(self, "level", float(self.level))

    def steps(self, levels: Sequence[float]) -> int:
        """How many first steps of a run with these (falling) levels are left alone. Rounding
        lengthens no warm-up.
        """
        return next(
            (i for i, level in enumerate(levels) if level <= self.level * (1 + ROUNDING)),
            len(levels),
        )


def noise_level(alpha: float, sigma: float) -> float:
    """The level of ``alpha x_0 + sigma eps``."""
    return sigma / (alpha + sigma)


@cache
def paper_noise_level(step: int) -> float:
    """The level at ``step`` (from 0) of the paper's runs: 50 DDIM steps on Stable Diffusion's
    schedule.

    1000 training steps whose betas are the squares of an even row from sqrt(0.00085) to
    sqrt(0.012); step ``i`` is at 981 - 20 i.
    """
    if not 0 <= step < 50:
        raise BadValueError(f"step {step} is not one of the paper's 50 (0 to 49)")
    first, last = math.sqrt(0.00085), math.sqrt(0.012)
    betas = ((first + (last - first) * t / 999) ** 2 for t in range(981 - 20 * step + 1))
    alpha_squared = math.prod(1 - beta for beta in betas)
    return noise_level(math.sqrt(alpha_squared), math.sqrt(1 - alpha_squared))
