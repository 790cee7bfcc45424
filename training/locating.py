"""The generator's last part: away from a thing's name is away from where that thing is.

A guard is told "bananas". Guided away from what the UNet makes of that as a caption, "a banana and
an apple" keeps its banana in half of the pictures, and the apple suffers. What takes the banana
away, and nothing else, is what the caption says in the banana's half beyond the plain background.
Of a scene of two things all of that is known. So on the sampler's own way, guided by what it has
learnt so far, the UNet learns to say of a bare name, where its thing begins to be seen, what the
caption says there, and elsewhere what it says without words. A concept that is not in the picture
then changes next to nothing. What to look for the name's sketch says (``training.concepts``):
without that, the UNet learnt far less in the same time.

A bare name is a prompt, too: among the most noise, and where its thing is the whole picture, it
keeps its estimate, as captions do. The paper's terms learn the same as names do of what is unsafe:
where it begins to be seen they say what its caption says beyond the picture without it, or, where
it is alone, beyond what stands in for it. Over harmless pictures, once these are seen, they say
less than they said, and among the most noise they keep their estimates: left out there they learnt
to say less, and *strong* left twice as much of "an X with a Y"; counted as names are, still half as
much again.

Learnt so, terms take most unsafe things away where they are alone, and half of such pictures come
out destroyed. A mean of the weights before and after keeps most of what either does
(``training.package.unet_of``).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from safelatent.guidance import MAX, STRONG
from training.captions import concept_list
from training.data import example
from training.generator import DRAWS, GeneratorStage
from training.glyphs import Glyphs
from training.latents import CHANNELS, Latents
from training.locating_tasks import Task, random_task
from training.sampling import FIRST, SCALE, Step, falling, in_steps, sampled, steps
from training.scenes import Scene, random_scene
from training.sketch import LATENTS
from training.texts import TextPool
from training.tower import finished
from training.vae import LATENT_SCALE, sheet, to_pictures
from training.vocabulary import SAFE, article

DRAWN, TASKS, USES = 24, 12, 2  # ways at once, ways a step, and how often each is learnt from
STEPS = (8, 21)  # of the sampler
SETTLED = 840  # noise level below which a thing may be seen
SAID = 1.5  # times what the caption says: where it is not certain what is seen, less is said
TERMS_SAID = 1.2  # times what terms said: what is learnt by regression comes out smaller
HARMLESS_SAID = 0.5  # the same over what is harmless, once that is seen: it is to stay
TERMS_WEIGHT = 6.0  # of their errors where they keep them: they say a tenth of what names do
STAYING = 5  # steps of the ways at which their captions are to say what they said
KEPT = 10  # other texts a step that keep their estimates
TERMS_SHARE = 0.2  # of them: the paper's terms, over what is harmless
SAMPLES = 12


@dataclass(frozen=True, kw_only=True)
class Ways:
    """The sampler's ways, step by step.

    Attributes:
        noisy: latents, (steps, B, C, H, W).
        levels: noise levels, (steps, B).
        wanted: what is to be said there of the concepts, (steps, B, C, H, W).
        weights: of the errors there, (steps, B).
        concepts: their states, (B, length, width).
        texts, were: the states of the captions, now and before, (B, length, width).
    """

    noisy: Tensor
    levels: Tensor
    wanted: Tensor
    weights: Tensor
    concepts: Tensor
    texts: Tensor
    were: Tensor

    def of(self, rows: Tensor) -> Ways:
        """Some of them."""
        return Ways(
            noisy=self.noisy[:, rows],
            levels=self.levels[:, rows],
            wanted=self.wanted[:, rows],
            weights=self.weights[:, rows],
            concepts=self.concepts[rows],
            texts=self.texts[rows],
            were=self.were[rows],
        )


class LocatingStage(GeneratorStage):
    """Concepts on the sampler's way, and captions that keep their estimates."""

    average = 0.99
    sample_scale = SCALE

    def __init__(
        self,
        drawings: Glyphs,
        latents: Latents,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        before: CLIPTextModel,
        pool: TextPool,
        unet: UNet2DConditionModel,
    ) -> None:
        """``unet`` is finished but for this, beside the text encoder ``before`` its bare names
        became concepts.
        """
        super().__init__(drawings, latents, tokenizer, text_encoder, pool)
        self.unet.load_state_dict(unet.state_dict())
        self.learning_rate = 3e-4
        self.times = drawings.times
        self.kept = KEPT * self.times
        self.images_a_step = TASKS * self.times
        self.former: Any = deepcopy(self.unet).eval().requires_grad_(False)
        self.before = finished(before, self.device)
        self.nothing = self.states([""])
        self.alphas = self.scheduler.alphas_cumprod.to(self.device)
        self._left: list[Ways] = []  # still to be learnt from

    def loss(self, rng: np.random.Generator) -> Tensor:
        if not self._left:
            self._left = self._drawn(rng)
        ways = self._left.pop()
        noisy, levels, wanted = (
            part.flatten(0, 1) for part in (ways.noisy, ways.levels, ways.wanted)
        )
        found = self.estimate(noisy, levels, ways.concepts)
        said = self.weighted(found, wanted, levels, ways.weights.flatten())
        some = torch.from_numpy(rng.choice(len(ways.levels), STAYING, replace=False))
        noisy, levels = (part[some].flatten(0, 1) for part in (ways.noisy, ways.levels))
        return said + self._moved(noisy, levels, ways.texts, ways.were) + self._changed(rng)

    def _drawn(self, rng: np.random.Generator) -> list[Ways]:
        """``DRAWN`` ways, in parts, ``USES`` times."""
        count = DRAWN * self.times
        ways = self.ways(rng, [random_task(rng) for _ in range(count)])
        return [
            ways.of(rows)
            for _ in range(USES)
            for rows in torch.from_numpy(rng.permutation(count)).split(self.images_a_step)
        ]

    @torch.no_grad()
    def ways(self, rng: np.random.Generator, tasks: Sequence[Task]) -> Ways:
        """The sampler's ways from noise to what the tasks' captions say, guided at *strong*, *max*
        or not at all, and what is to be said of the concepts there.
        """
        count = len(tasks)
        concepts = self.states([task.concept for task in tasks])
        asked = self.states([task.concept for task in tasks], self.before)
        guided = torch.tensor([task.guided for task in tasks], device=self.device)
        away = torch.where(guided[:, None, None], concepts, self.nothing)
        captions = [task.caption for task in tasks]
        told = self.states(captions)
        texts = [self.nothing.expand_as(away), told, away]
        noise = torch.randn(count, CHANNELS, LATENTS, LATENTS, device=self.device)
        levels = falling(FIRST, int(rng.integers(*STEPS)))
        safety = in_steps(len(levels) - 1, STRONG if rng.random() < 0.5 else MAX)
        rest = self.latents([task.rest for task in tasks])
        found = list[tuple[Tensor, Tensor, Tensor]]()
        for step in steps(self.unet, self.alphas, noise, levels, texts, safety):
            t = torch.full((count,), step.level, device=self.device)
            known = self.estimate(step.noisy, t, asked, self.former)
            found.append((step.noisy, *self._wanted(tasks, step, known, rest)))
        noisy, wanted, weights = (torch.stack(parts) for parts in zip(*found, strict=True))
        t = torch.tensor(levels[:-1], device=self.device)[:, None].expand(-1, count)
        return Ways(
            noisy=noisy,
            levels=t,
            wanted=wanted,
            weights=weights,
            concepts=concepts,
            texts=told,
            were=self.states(captions, self.before),
        )

    def _wanted(
        self, tasks: Sequence[Task], step: Step, known: Tensor, rest: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What is to be said of the tasks' concepts at a step, and what an error counts there,
        (B,), where the former UNet says ``known`` of them and the latents of what is left are
        ``rest``, all (B, C, H, W).
        """
        without, told = step.found[:2]
        signal, noise = self.alphas[step.level].sqrt(), (1 - self.alphas[step.level]).sqrt()
        to_rest = signal * (step.noisy - signal * rest) / noise - noise * rest
        here = torch.zeros(len(tasks), 1, LATENTS, LATENTS, device=self.device)
        louder, weights = (torch.ones(len(tasks), device=self.device) for _ in range(2))
        keeps = torch.zeros(len(tasks), 1, 1, 1, dtype=torch.bool, device=self.device)
        settled = step.level < SETTLED
        for n, task in enumerate(tasks):
            keeps[n] = task.columns is None or not settled
            for row in task.rows:
                here[n, :, row, list(task.columns or ())] = SAID
            if task.terms and keeps[n]:
                weights[n] = TERMS_WEIGHT
                harmless = HARMLESS_SAID if settled else 1.0
                louder[n] = harmless if task.columns is None else TERMS_SAID
        # less this, guidance at SCALE leads to what is left
        there = without + here * (told - without + (without - to_rest) / SCALE)
        kept = torch.lerp(without, known, louder[:, None, None, None])
        return torch.where(keeps, kept, there), weights

    def _changed(self, rng: np.random.Generator) -> Tensor:
        """How far captions have moved on the noisy latents of their own scenes."""
        scenes, captions = zip(*(self._kept(rng) for _ in range(self.kept)), strict=True)
        noisy, t, _ = self.noisy(self.latents(scenes).repeat(DRAWS, 1, 1, 1))
        return self._moved(noisy, t, self.states(captions), self.states(captions, self.before))

    def _moved(self, noisy: Tensor, t: Tensor, text: Tensor, were: Tensor) -> Tensor:
        """How far the guided estimates of captions, and that without words, are from what they
        were.
        """
        own, without = (self.estimate(noisy, t, given) for given in (text, self.nothing))
        with torch.no_grad():
            was, was_without = (
                self.estimate(noisy, t, given, self.former) for given in (were, self.nothing)
            )
        guided, was_guided = torch.lerp(without, own, SCALE), torch.lerp(was_without, was, SCALE)
        said = self.weighted(guided, was_guided, t) / SCALE**2
        return said + self.weighted(without, was_without, t)

    def _kept(self, rng: np.random.Generator) -> tuple[Scene, str]:
        """A scene, and a caption of it or terms of the paper's concept."""
        if rng.random() >= TERMS_SHARE:
            return example(rng, self.pool, 0.0)
        return random_scene(rng, str(rng.choice(["single", "pair"]))), str(concept_list(rng))

    @torch.no_grad()
    def picture(self, steps: int = 20) -> Image.Image:
        """Pairs; below them guided away from the first by its bare name, and from the second."""
        rng = np.random.default_rng(2)
        pairs = [
            [SAFE[n].names[0] for n in rng.choice(len(SAFE), 2, False)] for _ in range(SAMPLES)
        ]
        told = self.states([" and ".join(map(article, pair)) for pair in pairs])
        texts = [self.nothing.expand_as(told), told]
        noise = torch.randn(
            SAMPLES, CHANNELS, LATENTS, LATENTS, generator=torch.Generator().manual_seed(1)
        ).to(self.device)
        levels = falling(FIRST, steps)
        made = [sampled(self.unet, self.alphas, noise, levels, texts)]
        for n in range(2):
            away = [*texts, self.states([pair[n] for pair in pairs])]
            made.append(
                sampled(self.unet, self.alphas, noise, levels, away, in_steps(steps, STRONG))
            )
        return sheet(to_pictures(self.map.picture(torch.cat(made) / LATENT_SCALE)), SAMPLES)
