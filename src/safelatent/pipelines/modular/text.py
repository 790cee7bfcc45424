"""The batches that a guider hands to the denoiser: which of their fields are the prompt's.

A table of names; no family has its own code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.guiders import BaseGuidance
from diffusers.modular_pipelines.modular_pipeline import BlockState
from torch import Tensor

from safelatent.errors import UnsupportedError
from safelatent.pipelines.batches import chosen_rows

# The denoiser's arguments that are the prompt's, and what the text encoder's block calls them.
TEXT = {
    "prompt_embeds": "prompt_embeds",
    "encoder_hidden_states": "prompt_embeds",
    "cap_feats": "prompt_embeds",
    "text_embeds": "pooled_prompt_embeds",
    "encoder_hidden_states_mask": "prompt_embeds_mask",
    "encoder_attention_mask": "prompt_embeds_mask",
    "encoder_hidden_states_2": "prompt_embeds_2",
    "encoder_attention_mask_2": "prompt_embeds_mask_2",
}
# Those that are numbered by the text's length, (..., tokens, axes), evenly from token to token.
POSITIONS = ("txt_ids",)
# Those that are the image's, not the text's.
BESIDE = ("hidden_states", "time_ids", "image_embeds", BaseGuidance._identifier_key)


def embeddings(batch: BlockState) -> Any:
    """Return a batch's text embeddings: (B, tokens, ...), or B tensors (tokens, ...)."""
    return next(
        (value for name, value in batch.as_dict().items() if TEXT.get(name) == "prompt_embeds"),
        None,
    )


def concept_batch(prompt: BlockState, concept: Mapping[str, Any], identifier: str) -> BlockState:
    """Return a copy of the prompt's batch with the concept's text.

    Args:
        prompt: the conditional batch, of B rows.
        concept: what the text encoder's block made of the concept, by its names; the first row
            counts.

    Raises:
        UnsupportedError: a field of which it is not known whether it speaks of the prompt.
    """
    rows = len(embeddings(prompt))
    fields = {name: _field(name, value, concept, rows) for name, value in prompt.as_dict().items()}
    return BlockState(**(fields | {BaseGuidance._identifier_key: identifier}))


def chosen_batch(concept_next: Tensor, concept: BlockState, uncond: BlockState) -> BlockState:
    """Return a batch with the concept's text in some rows and the unconditional one in the others.

    Args:
        concept_next: which rows are the concept's, (B,) bool.

    Raises:
        UnsupportedError: their texts have different shapes, or none, as those in lists.
    """
    ours, theirs = concept.as_dict(), uncond.as_dict()
    if isinstance(embeddings(uncond), list):
        raise UnsupportedError(
            "the texts of this pipeline have each their own length, so one evaluation cannot serve "
            "concept and negative prompt; take 'concept' and 'uncond' in the plan instead of "
            "'either'"
        )
    return BlockState(
        **{name: chosen_rows(concept_next, ours[name], theirs[name]) for name in theirs}
    )


def _field(name: str, value: Any, concept: Mapping[str, Any], rows: int) -> Any:
    if name in BESIDE:
        return value
    if name in POSITIONS:
        return _positions(value, concept["prompt_embeds"][0].shape[0])
    if TEXT.get(name) not in concept:
        raise UnsupportedError(
            f"the denoiser gets {name!r}, which the guard does not know to be the prompt's or not; "
            "it cannot be guarded"
        )
    return _rows(concept[TEXT[name]], value, rows)


def _rows(one: Any, like: Any, rows: int) -> Any:
    """Return the first row for all, in the type and on the device of the prompt's."""
    if isinstance(one, list):
        return [one[0].to(like[0])] * rows
    if one is None:
        return None
    return torch.cat([one[:1] if like is None else one[:1].to(like)] * rows)


def _positions(ids: Tensor, tokens: int) -> Tensor:
    first, second = ids[..., :1, :], ids[..., 1:2, :]
    return first + (second - first) * torch.arange(tokens, device=ids.device).to(ids)[:, None]
