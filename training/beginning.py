"""How the text encoder begins, so that the sketch (``training.sketch``) is learnt in minutes: three
things that are true from the start.

A name says what the thing looks like: its token's embedding holds the principal components of the
thing's sketch. The sketch's positions know which patch they are to say: their position embeddings
are the signatures. And nobody looks at the padding between the words and the sketch: its embedding
lies along a direction that every attention head's keys are turned away from. All of it
learns on afterwards.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from training.sketch import FACTS_AT, SAYS, Sketch
from training.vocabulary import THINGS

COMPONENTS = 192  # of the things' sketches
LOUD = 4.0  # how much longer the padding's embedding is than a word's
UNSEEN = 12.0  # what its attention logits are lowered by


def _codes(sketch: Sketch) -> Tensor:
    """(things, COMPONENTS): principal components of the things' sketches, of deviation 1 over all.

    Small components are brought near to the large ones: what is faint among a layer's inputs is
    learnt late.
    """
    flat = sketch.alone()
    left, values, _ = torch.linalg.svd(flat - flat.mean(dim=0), full_matrices=False)
    codes = left[:, :COMPONENTS] * values[:COMPONENTS] ** 0.3
    return codes / codes.std()


def _directions(width: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` orthonormal rows (count, width), each of mean 0, which a layer normalisation leaves
    as they are.
    """
    rows = torch.randn(count, width, generator=generator)
    return torch.linalg.qr((rows - rows.mean(dim=1, keepdim=True)).T)[0].T


@torch.no_grad()
def begin(text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, sketch: Sketch) -> None:
    """Bring ``text_encoder``, untrained or trained without a sketch, to where it learns the sketch
    from.
    """
    table, positions = (
        text_encoder.embeddings.token_embedding.weight,
        text_encoder.embeddings.position_embedding.weight,
    )
    width, loudness = table.shape[1], float(table.std())
    generator = torch.Generator().manual_seed(0)
    *basis, away = _directions(width, COMPONENTS + 1, generator)
    looks, said = torch.zeros_like(table), torch.zeros(len(table), 1)
    for thing, code in zip(THINGS, _codes(sketch).cpu() @ torch.stack(basis), strict=True):
        for name in thing.names:
            for token in tokenizer(name).input_ids[1:-1]:
                looks[token] += code
                said[token] += 1
    table += loudness * looks / said.clamp(min=1)
    padding = LOUD * loudness * width**0.5 * away
    table[tokenizer.pad_token_id] = padding
    positions[FACTS_AT:] = -padding
    positions[FACTS_AT:, SAYS:] += 2 * loudness * sketch.signatures.cpu()
    for layer in text_encoder.encoder.layers:
        _turn_away(layer, padding, generator)


def _turn_away(layer: Any, padding: Tensor, generator: torch.Generator) -> None:
    """Lower the attention logits of what looks like the padding by ``UNSEEN``, in every head."""
    attention = layer.self_attn
    heads, size = attention.num_heads, attention.head_dim
    seen = layer.layer_norm1(padding)
    asked = torch.nn.functional.normalize(
        torch.randn(heads, size, generator=generator), dim=1
    ).flatten()
    share = 3.0  # of the product in the queries; the rest in the keys
    attention.q_proj.bias += share * asked
    attention.k_proj.weight -= (
        UNSEEN * size**0.5 / share * torch.outer(asked, seen) / seen.square().sum()
    )
