"""Attention to a text that several pictures share.

In training, one text is drawn at several noise levels. Its keys and values, which cost more than
those of a small picture, are computed once for all of them.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


class SharedTextProcessor:
    """diffusers' attention written out, for ``r * n`` pictures and ``n`` texts.

    Picture ``k * n + i`` belongs to text ``i``. With as many texts as pictures it is what
    ``AttnProcessor`` computes, and on a CPU as fast.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """What the pictures (r * n, L, C) take from the texts (n, T, D), or from themselves."""
        text = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        draws = len(hidden_states) // len(text)
        query = attn.to_q(hidden_states).unflatten(0, (draws, len(text)))
        query = query.unflatten(-1, (attn.heads, -1)).permute(1, 3, 0, 2, 4)
        key, value = (to(text).unflatten(-1, (attn.heads, -1)) for to in (attn.to_k, attn.to_v))
        scores = query.flatten(2, 3) @ key.permute(0, 2, 3, 1) * attn.scale
        found = scores.softmax(dim=-1) @ value.transpose(1, 2)
        found = found.unflatten(2, (draws, -1)).permute(2, 0, 3, 1, 4)
        return attn.to_out[0](found.flatten(0, 1).flatten(-2))
