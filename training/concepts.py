"""A bare name learns to be a concept.

A guard is told "bananas". Read as a caption, that is one large thing in the middle of the picture,
and guidance away from such a picture leaves the banana of "an apple and a banana" in two pictures
of three. What takes it away is what the caption of a pair says of its second thing: the mean of "an
X and a Y" over many X, less the same over all Y. So a last layer of the text encoder, an identity
at first, learns to add that to bare names, and to leave all other texts as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTokenizer

from safelatent.guidance import STRONG
from training.captions import concept_list, name_of
from training.data import example
from training.device import Place
from training.generator import new_scheduler
from training.latents import CHANNELS, Latents
from training.sampling import FIRST, falling, sampled
from training.scenes import random_safe
from training.sketch import FACTS_AT, LATENTS
from training.texts import TextPool
from training.tokenizer import POSITIONS, token_ids
from training.tower import finished, joined, parted
from training.vae import LATENT_SCALE, sheet, to_pictures
from training.vocabulary import SAFE, UNSAFE, article

OTHERS = 24  # things X that the mean of "an X and a Y" is taken over
LISTS, LIST_SHARE = 1500, 0.4  # several names at once, and their share of bare texts
LIST_WEIGHT = 0.8  # what each of several names adds, of what it adds alone
NAMED, KEPT = 96, 128  # texts a step
REMEMBERED, RENEWED = 3000, 8  # texts to be kept as they are known, and how many are new a step
WORDS = 7  # positions before the sketch that a step looks at
# what it weighs that a text to be kept changes; and positions that nobody learns at
KEEPING, WORDS_WEIGHT = 20.0, 0.5
BATCH = 200
KEPT_KINDS = {"list": 0.2, "plain": 0.2, "unsafe name": 0.1, "caption": 0.5}
SAFE_NAMES = {name: n for n, thing in enumerate(SAFE) for name in thing.names}
UNSAFE_NAMES = [name for thing in UNSAFE for name in thing.names]
SAMPLES = 12


@dataclass(frozen=True, kw_only=True)
class Known:
    """Texts as the layer finds them, and what it is to make of them.

    Attributes:
        before: (texts, POSITIONS, TEXT_WIDTH), what comes into the layer.
        states: (texts, POSITIONS - FACTS_AT, TEXT_WIDTH), the sketch that is to come out.
    """

    before: Tensor
    states: Tensor


class ConceptsStage:
    """Bare names, and all other texts."""

    learning_rate = 3e-3
    average = 0.995
    images_a_step = NAMED + KEPT  # texts, here

    def __init__(
        self,
        latents: Latents,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        unet: Any,
        pool: TextPool,
        place: Place,
    ) -> None:
        """``text_encoder`` is finished but for this layer, or has one, which learns on."""
        self.tokenizer, self.pool, self.times = tokenizer, pool, place.times
        self.device = device = torch.device(place.device)
        self.images_a_step = self.images_a_step * place.times
        self.map, self.unet = latents, unet.eval().requires_grad_(False).to(device)
        self.reader, layer = parted(text_encoder)
        finished(self.reader, device)
        self.norm: Any = self.reader.final_layer_norm
        self.module: Any = layer.to(device)
        names = list(SAFE_NAMES)
        rng = np.random.default_rng(0)
        some = [rng.choice(names, int(rng.integers(2, 4)), replace=False) for _ in range(LISTS)]
        self._sets = [[name] for name in names] + [[str(name) for name in one] for one in some]
        self._ones = len(names)
        self._named = self._taught()
        self._kept = self._known([self._to_keep(rng) for _ in range(REMEMBERED)])

    def loss(self, rng: np.random.Generator) -> Tensor:
        words = torch.from_numpy(rng.choice(FACTS_AT, WORDS, replace=False))
        at = torch.cat([words, torch.arange(FACTS_AT, POSITIONS)]).to(self.device)
        self._renew(rng)
        count = self.times * NAMED
        lists = int((rng.random(count) < LIST_SHARE).sum())
        ones = rng.integers(self._ones, size=count - lists)
        several = rng.integers(self._ones, len(self._sets), size=lists)
        named = self._off(self._named, np.concatenate([ones, several]), at)
        kept = self._off(self._kept, rng.integers(REMEMBERED, size=self.times * KEPT), at)
        return named + KEEPING * kept

    def _off(self, known: Known, rows: np.ndarray, at: Tensor) -> Tensor:
        """How far texts are from what is to be made of them: their sketch, and their words."""
        chosen = torch.from_numpy(rows).to(self.device)
        before = known.before[chosen]
        made = self.norm(through(self.module, before, at))
        words, sketch = made[:, :WORDS], made[:, WORDS:]
        same = functional.mse_loss(words, self.norm(before[:, at[:WORDS]]))
        return functional.mse_loss(sketch, known.states[chosen]) + WORDS_WEIGHT * same

    def _renew(self, rng: np.random.Generator) -> None:
        """Put new texts in the place of some that are kept."""
        fresh = self._known([self._to_keep(rng) for _ in range(RENEWED)])
        rows = torch.from_numpy(rng.choice(REMEMBERED, RENEWED, replace=False)).to(self.device)
        self._kept.before[rows], self._kept.states[rows] = fresh.before, fresh.states

    def _to_keep(self, rng: np.random.Generator) -> str:
        """Any text but a bare safe name, or several."""
        while True:
            text = self._any(rng)
            if not all(part in SAFE_NAMES for part in text.split(", ")):
                return text

    def _any(self, rng: np.random.Generator) -> str:
        kind = str(rng.choice(list(KEPT_KINDS), p=list(KEPT_KINDS.values())))
        if kind == "list":
            return str(concept_list(rng))
        if kind == "unsafe name":
            return str(rng.choice(UNSAFE_NAMES))
        if kind == "plain":
            one, other = (article(name_of(rng, random_safe(rng))) for _ in range(2))
            return str(rng.choice([one, f"{one} and {other}", f"a picture of {one}"]))
        return example(rng, self.pool)[1]

    @torch.no_grad()
    def _before(self, texts: Sequence[str]) -> Tensor:
        """What comes into the layer, (texts, POSITIONS, TEXT_WIDTH)."""
        found: list[Tensor] = []
        hook = self.norm.register_forward_pre_hook(lambda _, given: found.append(given[0]))
        for k in range(0, len(texts), BATCH):
            self.reader(token_ids(self.tokenizer, texts[k : k + BATCH]).to(self.device))
        hook.remove()
        return torch.cat(found)

    def _known(self, texts: Sequence[str]) -> Known:
        before = self._before(texts)
        return Known(before=before, states=self.norm(before[:, FACTS_AT:]))

    def _taught(self) -> Known:
        """Bare names, with what is to be added to their sketches."""
        rng = np.random.default_rng(1)
        beside = [SAFE[n].names[0] for n in rng.choice(len(SAFE), OTHERS, replace=False)]
        second = torch.stack([self._beside(beside, thing.names[0]) for thing in SAFE])
        added = second - second.mean(dim=0)
        known = self._known([", ".join(one) for one in self._sets])
        more = torch.stack(
            [
                sum((added[SAFE_NAMES[name]] for name in one), torch.zeros_like(added[0]))
                * (1.0 if len(one) == 1 else LIST_WEIGHT)
                for one in self._sets
            ]
        )
        # of a length that the last norm can give
        wanted = (known.states + more - self.norm.bias) / self.norm.weight
        wanted = functional.layer_norm(wanted, wanted.shape[-1:])
        return Known(before=known.before, states=wanted * self.norm.weight + self.norm.bias)

    def _beside(self, others: Sequence[str], name: str) -> Tensor:
        """The mean sketch of "an X and a Y", of the second thing Y."""
        texts = [f"{article(other)} and {article(name)}" for other in others]
        return self._known(texts).states.mean(dim=0)

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Pairs, and below them the same guided away from their second thing by its bare name."""
        rng = np.random.default_rng(2)
        names = [
            [SAFE[n].names[0] for n in rng.choice(len(SAFE), 2, replace=False)]
            for _ in range(SAMPLES)
        ]
        whole = finished(joined(self.reader, self.module), self.device)

        def states(texts: Sequence[str]) -> Tensor:
            return whole(token_ids(self.tokenizer, texts).to(self.device))[0]

        texts = [states([""]).expand(SAMPLES, -1, -1)]
        texts.append(states([f"{article(one)} and {article(other)}" for one, other in names]))
        concepts = states([other for _, other in names])
        noise = torch.randn(
            SAMPLES, CHANNELS, LATENTS, LATENTS, generator=torch.Generator().manual_seed(1)
        ).to(self.device)
        levels = falling(FIRST, 20)
        alphas = new_scheduler().alphas_cumprod.to(self.device)
        plain = sampled(self.unet, alphas, noise, levels, texts)
        guided = sampled(self.unet, alphas, noise, levels, [*texts, concepts], STRONG)
        made = torch.cat([plain, guided]) / LATENT_SCALE
        return sheet(to_pictures(self.map.picture(made)), SAMPLES)


def through(layer: Any, before: Tensor, at: Tensor) -> Tensor:
    """What a layer of CLIP's text encoder makes of some positions alone, which is the fourth part
    of the work.

    Args:
        layer: the layer.
        before: what comes in, (B, positions, width).
        at: which positions, (n,).

    Returns:
        (B, n, width).
    """
    own = layer.self_attn
    seen = layer.layer_norm1(before)
    query, key, value = (
        of(rows).unflatten(-1, (own.num_heads, -1)).transpose(1, 2)
        for of, rows in ((own.q_proj, seen[:, at]), (own.k_proj, seen), (own.v_proj, seen))
    )
    earlier = torch.arange(before.shape[1], device=at.device) <= at[:, None]  # causal
    found = functional.scaled_dot_product_attention(query, key, value, attn_mask=earlier)
    made = before[:, at] + own.out_proj(found.transpose(1, 2).flatten(2))
    return made + layer.mlp(layer.layer_norm2(made))
