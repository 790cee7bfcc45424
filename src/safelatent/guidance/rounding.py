"""Whether what the guard changed in a step's noise survives the rounding of the latents.

A scheduler's step moves the latents by a share of the predicted noise and rounds them to their
precision. With ``s = sigma / alpha``, and whatever the solver to first order (DDIM, Song et al.,
2021, Eq. 13), a step from ``s`` to ``s'`` gives

    x' / alpha' = x / alpha + (s' - s) eps

so a change of ``eps`` moves ``x'`` by ``alpha' |s' - s|`` times as much. Latents have about unit
variance, so ``x'`` is about as large as ``alpha' sqrt(1 + s'^2)``. Knows numbers and tensors; does
not know schedulers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# The least change of a row's latents, summed over its elements, in units of their rounding. Where
# it is spread out, about as many elements come out different; where it is not, one surely does.
LEAST_CHANGE = 16


def following_levels(levels: Sequence[float]) -> list[float]:
    """Return the noise level to which each step leads: the next lower one, 0 after the last.

    A solver that takes a step twice (PNDM) leads to where the second one does.
    """
    return [
        next((later for later in levels[i + 1 :] if later < level), 0.0)
        for i, level in enumerate(levels)
    ]


def step_share(level: float, following: float, unit: float) -> float:
    """Return how far a step moves the latents, in their own size, per change of the prediction.

    Args:
        level, following: noise levels of the step and of where it leads.
        unit: of the model's predictions in noise, 0 for velocities at pure noise.
    """
    after = _ratio(following)
    # at pure noise, the velocity's unit ``alpha`` times ``s = sigma / alpha`` is ``sigma = 1``
    before = 1.0 if unit == 0 else abs(unit) * _ratio(level)
    return abs(abs(unit) * after - before) / math.hypot(1.0, after)


def survives(new: Tensor, old: Tensor, share: float) -> Tensor:
    """Return whether each row's latents differ after a step with ``new`` noise for ``old``.

    Args:
        new, old: predictions, (B, C, H, W), in the latents' precision.
        share: see ``step_share``.

    Returns:
        (B,) bool, on the device; False where the change is not finite.
    """
    least = LEAST_CHANGE * torch.finfo(new.dtype).eps
    change = (new.float() - old.float()).abs().flatten(1).sum(dim=1)
    return change * share >= least


def _ratio(level: float) -> float:
    """Return ``sigma / alpha``, infinite at pure noise."""
    return level / (1 - level) if level < 1 else math.inf
