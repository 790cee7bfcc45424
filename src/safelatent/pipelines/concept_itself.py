"""A hole in the method: where prompt or negative prompt is the concept itself, ``e_p - e_S`` or
``e_S - e_u`` is zero.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from safelatent.errors import NotGuardedError

# Embeddings of the same tokens differ by rounding between batch sizes; those of other tokens by far
# more.
SAME_TEXT = 1e-3


def refuse_concept_itself(prompt: Any, negative: Any, concept: Any) -> None:
    """Refuse a row of either that is the concept's own text.

    Args:
        prompt, negative, concept: text embeddings (B, tokens, ...), or a list of B tensors (tokens,
            ...); the concept's first row counts.

    Raises:
        NotGuardedError: naming which of them it is.
    """
    for name, text in (("negative prompt", negative), ("prompt", prompt)):
        if same_rows(text, concept):
            raise NotGuardedError(
                f"the {name} is the concept itself, so the guard would vanish; change the {name} or the concept"
            )


def same_rows(text: Any, concept: Any) -> list[int]:
    """The rows of ``text`` that are the concept's own text."""
    one = concept[0]
    scale = SAME_TEXT * float(one.abs().max())
    return [b for b, row in enumerate(text) if _distance(row, one.to(row)) <= scale]


def _distance(a: Tensor, b: Tensor) -> float:
    """The largest difference; the shorter text is padded with zeros, as text encoders without a
    fixed length do.
    """
    tokens = max(len(a), len(b))
    a, b = (torch.cat([x, x.new_zeros(tokens - len(x), *x.shape[1:])]) for x in (a, b))
    return float((a - b).abs().max())
