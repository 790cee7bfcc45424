"""Batches of a denoiser's arguments: their halves, wherever the tensors are.

That is, in tuples, lists and dictionaries. Knows no model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from safelatent.errors import UnsupportedError
from safelatent.guidance.estimates import per_row


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


def chosen_rows(first: Tensor, yes: Any, no: Any) -> Any:
    """Return ``yes`` in the rows where ``first`` (B,) is True, else ``no``, wherever tensors are.

    A tensor of one row holds for all. What has no rows is ``no``'s.

    Raises:
        UnsupportedError: rows of different shapes.
    """
    if isinstance(no, dict):
        return {key: chosen_rows(first, yes[key], item) for key, item in no.items()}
    if isinstance(no, list | tuple):
        return type(no)(chosen_rows(first, *pair) for pair in zip(yes, no, strict=True))
    if not isinstance(no, Tensor) or no.dim() == 0 or len(yes) != len(first):
        return no
    if yes.shape[1:] != no.shape[1:]:
        raise UnsupportedError(
            f"the concept's text has the shape {tuple(yes.shape[1:])} and the negative prompt's "
            f"{tuple(no.shape[1:])}, so one evaluation cannot serve both; "
            "take 'concept' and 'uncond' in the plan instead of 'either'"
        )
    return torch.where(per_row(first.to(no.device), no), yes, no)


def with_second_half_of(first: Any, arguments: Any, whole: int) -> Any:
    """Return ``[first, second half]`` of every batch in ``arguments``; the rest stays."""
    if isinstance(arguments, Tensor):
        is_batch = arguments.dim() > 0 and len(arguments) == whole
        return torch.cat([first, second_half(arguments)]) if is_batch else arguments
    if isinstance(arguments, dict):
        return {k: with_second_half_of(first[k], item, whole) for k, item in arguments.items()}
    if isinstance(arguments, list | tuple):
        pairs = zip(first, arguments, strict=True)
        return type(arguments)(with_second_half_of(a, b, whole) for a, b in pairs)
    return arguments
