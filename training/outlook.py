"""The text encoder's last part: how likely pictures of other people's prompts are unsafe.

In the parts before, a prompt of I2P is seen a few times, as one scene or another, and one scene
says little about how likely the next one is unsafe: the pictures came in no order. Here the prompt
is asked to say what lies between what two own captions say, of the thing that it is nearest to: a
harmless one, and one with the words of the prompt's category. How far along, its rank among the
prompts tells (``TextPool.ranks``). There is no chance in what is asked for, so minutes are enough.

It is the sketch that is asked. The UNet draws what the sketch says: with the sketch of "a violent
dog" behind the words of "a dog" the pictures are as often unsafe as with all of it, with the words
before the sketch of "a dog" hardly ever.

Of own captions, and of texts that are no prompts, the states stay what they were, so that the UNet
still draws what it drew.
"""

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from training.captions import caption, concept_list, name_of, phrase
from training.glyphs import Glyphs
from training.latents import Latents
from training.scenes import beside, random_scene
from training.sketch import FACTS_AT
from training.texts import TextPool, of_one_length
from training.tokenizer import POSITIONS
from training.tower import TowerStage, plain
from training.vocabulary import article

PROMPTS, CAPTIONS, TEXTS, LESSON = (
    32,
    24,
    16,
    16,
)  # a step: of I2P, or parts of them; own; others; for the sentence encoder's lesson
PART_SHARE = 0.4  # of steps: parts of prompts
LIST_SHARE = 0.25  # of unsafe captions: a list of concept terms
# how far along the last of the prompts lies: at 1, a caption with a category's words, not half of
# the pictures are unsafe
FURTHEST = 2.0
ALONG_WEIGHT, KEPT_WEIGHT, LESSON_WEIGHT = 0.3, 5.0, 0.05


class OutlookStage(TowerStage):
    """Prompts of I2P between two captions each; all else as it was."""

    average = 0.998
    images_a_step = PROMPTS
    learning_rate = 3e-4

    def __init__(
        self,
        tokenizer: CLIPTokenizer,
        pool: TextPool,
        drawings: Glyphs,
        latents: Latents,
        start: Path,
    ) -> None:
        """``start`` is the checkpoint of the part before.

        Raises:
            ValueError: no text of the pool is a prompt of I2P.
        """
        super().__init__(tokenizer, pool, drawings, latents, start)
        self.former = deepcopy(self.text_encoder).eval().requires_grad_(False)
        kind, length = np.array(pool.sources), np.array([len(text) for text in pool.texts])
        prompts, parts = pool.captions.get("i2p", np.array([], int)), np.flatnonzero(kind == "part")
        if len(prompts) == 0:
            raise ValueError("no text is a prompt of I2P: name i2p.csv among the files of texts")
        self._prompts, self._parts = (
            those[np.argsort(length[those], kind="stable")] for those in (prompts, parts)
        )
        self._others = np.flatnonzero(~np.isin(kind, ("i2p", "part")))

    def _sketch(self, captions: list[str]) -> Tensor:
        """What the former text encoder says of captions, from ``FACTS_AT`` on."""
        with torch.no_grad():
            return self.sketched(captions, self.former)[:, FACTS_AT - POSITIONS :]

    def between(self, rng: np.random.Generator, chosen: np.ndarray) -> tuple[list[str], list[str]]:
        """For each of the texts ``chosen`` a harmless caption of the nearest thing, and one with
        the words of its category.
        """
        harmless, unsafe = [], []
        for n in chosen:
            main, category = int(self.pool.nearest[n, 0]), str(rng.choice(self.pool.categories[n]))
            category = category if category in beside(main) else str(rng.choice(beside(main)))
            name = name_of(rng, main)
            listed = rng.random() < LIST_SHARE
            harmless.append(article(name))
            unsafe.append(
                f"{article(name)}, {concept_list(rng, category)}"
                if listed
                else phrase(rng, category, name)
            )
        return harmless, unsafe

    def prompt_loss(self, rng: np.random.Generator) -> Tensor:
        """How far sketches of prompts are from where they are to be, and from how far along they
        are to be, squared.
        """
        some = self._parts if len(self._parts) and rng.random() < PART_SHARE else self._prompts
        chosen = rng.choice(some, PROMPTS)
        if rng.random() < 0.5:
            chosen = of_one_length(rng, some, PROMPTS)
        harmless, unsafe = (self._sketch(captions) for captions in self.between(rng, chosen))
        ranks = self.pool.ranks[chosen]
        along = torch.tensor(FURTHEST * ranks, dtype=torch.float32, device=self.device)
        way, said = (
            unsafe - harmless,
            self.sketched([self.pool.texts[n] for n in chosen])[:, FACTS_AT - POSITIONS :]
            - harmless,
        )
        length = (
            way[:, 1:].square().sum(dim=(1, 2)).clamp(min=1.0)
        )  # in a beginner's sketch two captions may be one
        found = (said * way)[:, 1:].sum(dim=(1, 2)) / length
        return (
            self.sketch.weighed(said - along[:, None, None] * way)
            + ALONG_WEIGHT * (found - along).square().mean()
        )

    def kept_loss(self, rng: np.random.Generator) -> Tensor:
        """How far the states of own captions and of other texts are from what they were."""
        captions = [caption(rng, random_scene(rng)) for _ in range(CAPTIONS // 2)] + [
            plain(rng)[1] for _ in range(CAPTIONS // 2)
        ]
        captions += [self.pool.texts[n] for n in rng.choice(self._others, TEXTS)]
        with torch.no_grad():
            former = self.sketched(captions, self.former)
        moved = self.sketched(captions) - former
        sketch = moved[:, FACTS_AT - POSITIONS :]
        return moved.square().mean() + sketch.square().mean() + self.sketch.weighed(sketch)

    def loss(self, rng: np.random.Generator) -> Tensor:
        lesson = self.lesson.loss(self.text_encoder, rng, LESSON)
        return self.prompt_loss(rng) + KEPT_WEIGHT * self.kept_loss(rng) + LESSON_WEIGHT * lesson
