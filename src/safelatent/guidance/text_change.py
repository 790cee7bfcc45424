"""Whether the texts of a call became others: a callback may put another one in at any step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor


class TextChange:
    """Whether the texts of a step are others than those of the step before; at the first they are.

    Comparing makes the host wait for the device, and texts hardly ever change in a call: the same
    memory, unchanged, is not compared.
    """

    def __init__(self) -> None:
        self._texts: tuple[Any, ...] = ()  # kept, so that their memory is not another's
        self._marks: list[Any] | None = None
        self._copies: list[Any] = []

    def __call__(self, *texts: Any) -> bool:
        marks = [_mark(text) for text in texts]
        known = marks == self._marks and None not in marks
        same = known or (self._marks is not None and _equal(list(texts), self._copies))
        self._texts, self._marks = texts, marks
        if not same:
            self._copies = [_copied(text) for text in texts]
        return not same


def _equal(text: Any, before: Any) -> bool:
    if isinstance(text, list | tuple) and isinstance(before, list | tuple):
        own, others = cast("Sequence[Any]", text), cast("Sequence[Any]", before)
        return len(own) == len(others) and all(map(_equal, own, others))
    if isinstance(text, Tensor) and isinstance(before, Tensor):
        return text.device == before.device and torch.equal(text, before)
    return text is before


def _copied(text: Any) -> Any:
    if isinstance(text, list | tuple):
        return [_copied(one) for one in cast("Sequence[Any]", text)]
    return text.detach().clone() if isinstance(text, Tensor) else text


def _mark(text: Any) -> tuple[Any, ...] | None:
    """Return what differs where the text is another tensor or was changed in place.

    None where that cannot be known: tensors of inference mode do not count their changes.
    """
    if isinstance(text, list | tuple):
        marks = [_mark(one) for one in cast("Sequence[Any]", text)]
        return None if None in marks else tuple(marks)
    if not isinstance(text, Tensor):
        return (text,)
    if text.is_inference():
        return None
    return (text.data_ptr(), text.shape, text.stride(), text.dtype, text.device, text._version)
