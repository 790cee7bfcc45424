"""Batches of a denoiser's arguments: their halves, wherever the tensors are.

That is, in tuples, lists and dictionaries. Knows no model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def first_half(batch: Tensor) -> Tensor:
    """Return the unconditional half."""
    return batch[: len(batch) // 2]


def second_half(batch: Tensor) -> Tensor:
    """Return the prompt's half."""
    return batch[len(batch) // 2 :]


def with_second_half_again(batch: Tensor, times: int = 1) -> Tensor:
    """Return ``[unconditional, prompt, prompt]``: what belongs to the concept is the prompt's."""
    return torch.cat([batch, *[second_half(batch)] * times])


def each_batch(value: Any, whole: int, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply ``change`` to every tensor in ``value`` that has the batch's size.

    For example ControlNet residuals, IP-Adapter lists, timesteps.
    """
    if isinstance(value, Tensor):
        return change(value) if value.dim() > 0 and len(value) == whole else value
    if isinstance(value, dict):
        return {key: each_batch(item, whole, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(each_batch(item, whole, change) for item in value)
    return value


def merged(
    value: dict[str, Any], over: dict[str, Any], join: Callable[[Any, Any], Any]
) -> dict[str, Any]:
    """Return ``value`` with what ``over`` holds, at any depth, put in by ``join(old, new)``."""
    return {
        key: item
        if key not in over
        else merged(item, over[key], join)
        if isinstance(item, dict)
        else join(item, over[key])
        for key, item in value.items()
    }
