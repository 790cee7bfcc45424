"""How the text encoder begins, so that the sketch (``training.sketch``) is learnt in minutes: four
things that are true from the start.

A name says what the thing looks like: its token's embedding holds the principal components of the
thing's sketch. The sketch's positions know which patch they are to say: their position embeddings
are the signatures. Every patch has a head of its own, which looks at names and says what the patch
shows of them in the middle of a white picture: what differs from patch to patch is the map from a
thing to its looks, and a head is such a map. And nobody looks at the padding between the words and
the sketch: its embedding lies along a direction that the other heads' keys are turned away from.
All of it learns on afterwards: other places, pairs, additions, colours, and all other words.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from training.scenes import Scene
from training.sketch import FACTS_AT, PATCHES, SAYS, Sketch
from training.vocabulary import THINGS

COMPONENTS = 192  # of the things' sketches
LOUD = 4.0  # how much longer the padding's embedding is than a word's
CLEAR = 2.0  # how much louder a sketch's position begins than words
PRONOUNCED = 10.0  # how much louder words begin than CLIP's, so that no layer drowns them
SHOWING = 2  # layers whose heads say what things look like
QUIET = 0.03  # what is left of the first answers of all layers, which are noise
SHARP = 10.0  # attention logits of what is looked at
RIDGE = 0.01  # of the regression from words to patches, in variances of the words
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
    table *= PRONOUNCED
    positions *= PRONOUNCED
    width, loudness = table.shape[1], float(table.std())
    generator = torch.Generator().manual_seed(0)
    directions = _directions(width, COMPONENTS + 3, generator)
    basis, (shown, first, away) = directions[:COMPONENTS], directions[COMPONENTS:]
    looks, said = torch.zeros_like(table), torch.zeros(len(table), 1)
    for thing, code in zip(THINGS, _codes(sketch).cpu() @ basis, strict=True):
        for name in thing.names:
            for token in tokenizer(name).input_ids[1:-1]:
                looks[token] += code
                said[token] += 1
    for rows in (table, positions):  # nothing else lies where looks and the marks lie
        rows -= rows @ directions.T @ directions
    mark = loudness * width**0.5
    table += loudness * looks / said.clamp(min=1) + mark * (said > 0).float() * shown
    table[tokenizer.bos_token_id] += mark * first
    padding = LOUD * loudness * width**0.5 * away
    table[tokenizer.pad_token_id] = padding
    positions[FACTS_AT:] = -padding
    positions[FACTS_AT:, SAYS:] += CLEAR * loudness * sketch.signatures.cpu()
    for layer in text_encoder.encoder.layers:
        for last in (layer.self_attn.out_proj, layer.mlp.fc2):
            last.weight *= QUIET
        _turn_away(layer, padding, generator)
    white, views = _in_the_middle(sketch)
    positions[FACTS_AT + 1 :, :SAYS] += CLEAR * loudness * (white + views.mean(dim=0))
    words = [tokenizer(thing.names[0]).input_ids[1:-1] for thing in THINGS]
    says = CLEAR * loudness * (views - views.mean(dim=0))
    patches = padding + positions[FACTS_AT + 1 :]
    for layer in range(SHOWING):
        _look_at_words(text_encoder, layer, words, says, patches, basis, shown, first)


def _in_the_middle(sketch: Sketch) -> tuple[Tensor, Tensor]:
    """What the patches of a white picture say, (PATCHES, SAYS), and what things in the middle add,
    (things, PATCHES, SAYS).
    """
    white = sketch.latents([Scene(background="white", placed=())])[0].flatten(1).T.cpu()
    return white, sketch.alone().cpu().unflatten(1, (SAYS, PATCHES)).transpose(1, 2)


def _look_at_words(
    text_encoder: CLIPTextModel,
    number: int,
    words: list[list[int]],
    says: Tensor,
    patches: Tensor,
    basis: Tensor,
    shown: Tensor,
    first: Tensor,
) -> None:
    """Give each patch its own head of a layer. It looks at the names of things, and says what the
    patch shows of them in the middle: a regression on their embeddings, of the rank that a head
    has; the next layer says the next components. At all other positions the head looks at the
    start, which says nothing.
    """
    embeddings, layer = text_encoder.embeddings, text_encoder.encoder.layers[number]
    table, positions = embeddings.token_embedding.weight, embeddings.position_embedding.weight
    attention, norm = layer.self_attn, layer.layer_norm1
    size = attention.head_dim
    known = torch.stack([norm(table[tokens] + positions[2]).mean(dim=0) for tokens in words])
    looks = known @ basis.T
    ridge = RIDGE * looks.square().mean() * len(looks) * torch.eye(len(basis))
    inverse = torch.linalg.solve(looks.T @ looks + ridge, looks.T)
    signs = norm(patches)
    signs[:, :SAYS] = 0
    own = torch.linalg.pinv(signs)  # (width, PATCHES): 1 at a patch's position, else 0
    start = norm(table[0] + positions[0])
    for part in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj):
        part.weight.zero_()
        part.bias.zero_()
    components = slice(number * size, (number + 1) * size)
    for patch in range(PATCHES):
        linear = inverse @ says[:, patch]  # (COMPONENTS, SAYS)
        kept = torch.linalg.svd(looks @ linear, full_matrices=False).Vh[components]
        rows = slice(patch * size, (patch + 1) * size)
        attention.v_proj.weight[rows] = kept @ linear.T @ basis
        attention.out_proj.weight[:SAYS, rows] = kept.T
        one, other = rows.start, rows.start + 1
        attention.q_proj.weight[one] = SHARP * own[:, patch]
        attention.q_proj.weight[other], attention.q_proj.bias[other] = -SHARP * own[:, patch], SHARP
        attention.k_proj.weight[one] = shown * size**0.5 / (known @ shown).mean()
        attention.k_proj.weight[other] = first * size**0.5 / (start @ first)


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
