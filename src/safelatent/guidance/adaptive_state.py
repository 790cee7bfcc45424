"""What adaptive guidance knows from step to step: a momentum, what was chosen, and what it saw.

Knows tensors; does not know categories or settings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class AdaptiveState:
    """What is passed from step to step.

    Attributes:
        nu: the momentum, (B, C, H, W).
        directions: ``e_k - e_0`` as last evaluated, (N, B, C, H, W); None before the first choice.
        near: which categories an image is guided away from, (N, B) bool.
        nearest: the one whose settings hold, (B,) whole numbers.
        due: the one whose estimate is evaluated next, (B,): the near ones take turns.
        share: how much of the guidance each image gets, (B,), by the first choice; None: all.
        negative: ``e_u - e_0``, of a negative prompt, (B, C, H, W); None without one.
    """

    nu: Tensor
    directions: Tensor | None = None
    near: Tensor | None = None
    nearest: Tensor | None = None
    due: Tensor | None = None
    share: Tensor | None = None
    negative: Tensor | None = None


def empty_estimate(
    e_u: Tensor, e_0: Tensor | None, state: AdaptiveState
) -> tuple[Tensor, AdaptiveState]:
    """Return the estimate for the empty prompt: evaluated, reused, or the unconditional one."""
    if e_0 is not None:
        return e_0, replace(state, negative=e_u - e_0)
    return (e_u if state.negative is None else e_u - state.negative), state


def following(near: Tensor, due: Tensor) -> Tensor:
    """Return the next of the near categories (N, B) after ``due`` (B,), in their order, (B,)."""
    count = len(near)
    ahead = (torch.arange(count, device=due.device)[:, None] - due - 1) % count
    return torch.where(near, ahead, count).argmin(dim=0)
