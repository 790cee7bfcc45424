"""A few words learn from where the sampler ends.

An estimate that is nearly right at every noise level can lead to a picture in which a thin, pale
thing is missing: of a knife beside something, four tenths were drawn. So here the sampler runs from
noise to the end, in few steps, and what is asked for is the picture: the error goes back through
all of its steps (as in DRaFT, Clark et al., 2024, whose reward is another one).

Only the rows of the token table of such things learn: pictures of which no prompt names one stay
the same to the bit. Two minutes do what hours of learning estimates did not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from training.captions import explicit, name_of
from training.glyphs import Glyphs, paint
from training.latents import CHANNELS, Latents
from training.sampling import FIRST, FromNoise
from training.scenes import Scene, on_white, random_safe
from training.sketch import LATENTS
from training.vae import sheet, to_pictures
from training.vocabulary import THINGS, article, thing_named

FAINT = (  # things: thin, pale, or told by little
    *("knife", "cigarette", "syringe", "chains"),
    *("middle finger", "fist", "coffin", "bandage", "pistol"),
)
NUMBERS = sorted(thing_named(name) for name in FAINT)
WORDS = tuple(name for n in NUMBERS for name in THINGS[n].names)  # that learn
PLAIN_SHARE = 0.5  # of captions: "an X with a Y"
STEPS, BEGIN = (8, 13), (900, 985)  # of the sampler, and noise levels at which it begins
OTHERWISE = 0.1  # what it weighs that the thing's part of the picture looks otherwise
CELL = 0.01  # mean square that a thing changes in a cell of the latents that it is in, at least
CHANGED = 0.05  # what it weighs that a row changes


def row_of(tokenizer: CLIPTokenizer, word: str) -> int:
    """The word's row in the token table: of several tokens the last, which is the word's own."""
    return tokenizer(word).input_ids[-2]


class Words(nn.Module):
    """Rows of a token table that learn; the others stay."""

    rows: Tensor
    table: Tensor

    def __init__(self, tokenizer: CLIPTokenizer, table: Tensor) -> None:
        super().__init__()
        rows = torch.tensor([row_of(tokenizer, word) for word in WORDS])
        self.register_buffer("rows", rows.unique())
        self.register_buffer("table", table.detach().clone())
        self.change = nn.Parameter(torch.zeros(len(self.rows), table.shape[1]))

    def forward(self) -> Tensor:
        """The table, (tokens, width)."""
        return self.table.index_add(0, self.rows, self.change)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A caption of a faint thing beside a safe one, its scene, and the scene without it."""

    caption: str
    scene: Scene
    without: Scene


class WordsStage:
    """Captions of faint things, and where the sampler ends."""

    learning_rate = 4e-3
    average = 0.98
    images_a_step = 12

    def __init__(
        self,
        drawings: Glyphs,
        latents: Latents,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        unet: Any,
    ) -> None:
        """All but the words is finished."""
        self.drawings, self.map, self.device = drawings, latents, drawings.device
        self.images_a_step = self.images_a_step * drawings.times
        self.draw = FromNoise(tokenizer, text_encoder, unet, self.device)
        self.module: Any = Words(tokenizer, self.draw.table).to(self.device)

    def latents(self, scenes: Sequence[Scene]) -> Tensor:
        """What is drawn, of deviation 1, (B, C, H, W)."""
        return self.map(paint(scenes, self.drawings))

    def loss(self, rng: np.random.Generator) -> Tensor:
        tasks = [_task(rng) for _ in range(self.images_a_step)]
        steps, first = int(rng.integers(*STEPS)), float(rng.integers(*BEGIN))
        made = self._made(tasks, steps, first)
        wanted = self.latents([task.scene for task in tasks])
        thing = wanted - self.latents([task.without for task in tasks])
        size = thing.square().sum(dim=(1, 2, 3))
        # how much of the thing is not there, at 0 where all of it is
        missing = (((wanted - made) * thing).sum(dim=(1, 2, 3)) / size).clamp(min=0).square()
        shown = (thing.square().mean(dim=1, keepdim=True) > CELL).expand_as(thing)
        off = torch.where(shown, made - wanted, 0.0).square().sum(dim=(1, 2, 3)) / size
        changed = self.module.change.square().sum(dim=1).mean()
        return (missing + OTHERWISE * off).mean() + CHANGED * changed

    def _made(self, tasks: Sequence[Task], steps: int, first: float = FIRST) -> Tensor:
        noise = torch.randn(len(tasks), CHANNELS, LATENTS, LATENTS, device=self.device)
        return self.draw(noise, [task.caption for task in tasks], self.module(), steps, first)

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Faint things beside others."""
        rng = np.random.default_rng(1)
        made = self._made([_task(rng) for _ in range(24)], steps=20)
        return sheet(to_pictures(self.map.picture(made)), 12)


def _task(rng: np.random.Generator) -> Task:
    thing = int(rng.choice(NUMBERS))
    category = str(THINGS[thing].category)
    main = random_safe(rng)
    safe, faint = name_of(rng, main), name_of(rng, thing)
    text = f"{article(safe)} with {article(faint)}"
    if rng.random() >= PLAIN_SHARE:
        text = explicit(rng, category, faint, safe)
    return Task(caption=text, scene=on_white(main, thing), without=on_white(main))
