"""Texts that leave the guard nothing to act on.

Where the prompt is the concept, ``e_p - e_S`` is zero; where the negative prompt is, ``e_S - e_u``
is zero. Compared are text embeddings; a text that only acts like the concept is caught by its
effect (see ``guided_call``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from safelatent.errors import NotGuardedError
from safelatent.guidance.estimates import Guidance
from safelatent.guidance.text_change import TextChange

# Relative. Embeddings of the same tokens differ by rounding between batch sizes; those of other
# tokens by far more.
SAME_TEXT = 1e-3


def refuse_concept_itself(prompt: Any, negative: Any, concept: Any) -> None:
    """Refuse a prompt or negative prompt that is the concept's own text.

    Args:
        prompt, concept: text embeddings (B, tokens, ...), or a list of B tensors (tokens, ...); the
            concept's first row counts.
        negative: the same, or None where the concept replaces it.

    Raises:
        NotGuardedError: naming which of them it is.
    """
    for name, text in (("negative prompt", negative), ("prompt", prompt)):
        if text is not None and same_rows(text, concept):
            raise NotGuardedError(
                f"the {name} is the concept itself, so the guard would vanish; "
                f"change the {name} or the concept"
            )


class TextCheck:
    """``refuse_concept_itself`` at every step where a text is another one."""

    def __init__(self) -> None:
        self._changed = TextChange()

    def __call__(self, prompt: Any, negative: Any, concept: Any) -> None:
        if self._changed(prompt, negative, concept):
            refuse_concept_itself(prompt, negative, concept)


def refuse_replaced_negative(guidance: Guidance, arguments: Mapping[str, Any]) -> None:
    """Refuse a caller's negative prompt that the guidance would drop.

    Args:
        arguments: of the pipeline's call, by name.

    Raises:
        NotGuardedError: the concept would replace a negative prompt that was given.
    """
    if guidance.needs_uncond:
        return
    for name in given_negatives(arguments):
        raise NotGuardedError(
            f"NegativePrompt() replaces the negative prompt by the concept, and {name} would "
            "be dropped; leave it out and add its terms to the concept, or use an SLD"
        )


def given_negatives(arguments: Mapping[str, Any]) -> list[str]:
    """Return the names of a call's arguments that are a negative prompt and say something."""
    return [
        name
        for name, value in arguments.items()
        if name.startswith("negative_") and _says_something(value)
    ]


def same_rows(text: Any, concept: Any) -> list[int]:
    """Return the rows of ``text`` that are the concept's own text."""
    one = concept[0]
    scale = SAME_TEXT * float(one.abs().max())
    return [b for b, row in enumerate(text) if _distance(row, one.to(row)) <= scale]


def _says_something(value: object) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    if isinstance(value, list | tuple):
        return any(_says_something(one) for one in cast("Sequence[object]", value))
    return isinstance(value, Tensor)


def _distance(a: Tensor, b: Tensor) -> float:
    """Return the largest difference; infinite between the texts of two encoders.

    The shorter text is padded with zeros, as text encoders without a fixed length do.
    """
    if a.shape[1:] != b.shape[1:]:
        return math.inf
    tokens = max(len(a), len(b))
    a, b = (torch.cat([x, x.new_zeros(tokens - len(x), *x.shape[1:])]) for x in (a, b))
    return float((a - b).abs().max())
