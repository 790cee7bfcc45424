"""The generator learns from where the sampler ends.

Guided at 7.5, estimates that are right at every noise level overshoot: the latents at the end hold
half as much again as the scene's, and two thirds of their faintest detail is wrong. The decoder
shows that as blots. Here the sampler runs from noise to the end, in few steps, and what is asked
for is the scene: the error goes back through all of its steps (as in DRaFT, Clark et al., 2024,
whose reward is another one). Captions that leave no doubt of the scene are asked for it;
guided away from a part of what they say, they are asked for the rest. All others keep their
estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safelatent.guidance import MAX, STRONG
from training.captions import (
    STAND_IN,
    caption,
    concept_list,
    explicit,
    implicit,
    name_of,
    on,
    terms_against,
    where,
)
from training.latents import CHANNELS
from training.locating import LocatingStage
from training.sampling import falling, in_steps, sampled
from training.scenes import Scene, random_scene
from training.sketch import LATENTS
from training.vae import LATENT_SCALE
from training.vocabulary import SAFE, THINGS, article

# Kinds of scenes, without guidance. An unsafe thing alone is not among them: asked for from any
# noise, it was drawn in 19 of 20, and stayed in three quarters of these at *strong*.
PLAIN = {"single": 0.3, "pair": 0.25, "addition": 0.45}
# ... and with it, away from the paper's terms, or from one of a pair by its bare name
GUARDED = {"single": 0.05, "pair": 0.35, "addition": 0.2, "unsafe": 0.4}
ABSENT = 0.2  # of names that a pair is guided away from: another thing's
BATCHES = (8, 10)  # pictures a step without guidance, and with it
STEPS, BEGIN = (8, 14), (900, 985)  # of the sampler, and noise levels at which it begins
CERTAIN = 0.05  # mean square error below which less is gained
KEPT = 4  # captions a step that keep their estimates
KEPT_TERMS, KEPT_TEXTS = 0.3, 0.3  # of them


@dataclass(frozen=True, kw_only=True)
class Task:
    """A caption, the scene that is asked for, and what guidance is away from, if anything."""

    caption: str
    scene: Scene
    concept: str = ""


class EndingStage(LocatingStage):
    """Captions that leave no doubt, and what the sampler makes of them."""

    average = 0.98

    def __init__(self, *given: Any) -> None:
        """As ``LocatingStage``: ``unet`` is finished but for this."""
        super().__init__(*given)
        self.learning_rate = 1e-4
        self.kept = KEPT * self.times

    def loss(self, rng: np.random.Generator) -> Tensor:
        plain, guarded = (count * self.times for count in BATCHES)
        error = self._error(rng, [plain_task(rng) for _ in range(plain)])
        error = error + self._error(rng, [guarded_task(rng) for _ in range(guarded)])
        return error + self._changed(rng)

    def _error(self, rng: np.random.Generator, tasks: Sequence[Task]) -> Tensor:
        """How far from the scenes the sampler ends: a picture that is all wrong, as a few are,
        counts little more than one that is half so.
        """
        wanted = self.latents([task.scene for task in tasks]) / LATENT_SCALE
        texts = [self.nothing.expand(len(tasks), -1, -1), self.states([t.caption for t in tasks])]
        levels = falling(float(rng.integers(*BEGIN)), int(rng.integers(*STEPS)))
        safety = None
        if tasks[0].concept:
            texts.append(self.states([task.concept for task in tasks]))
            safety = in_steps(len(levels) - 1, STRONG if rng.random() < 0.5 else MAX)
        noise = torch.randn(len(tasks), CHANNELS, LATENTS, LATENTS, device=self.device)
        made = sampled(self.unet, self.alphas, noise, levels, texts, safety) / LATENT_SCALE
        return ((made - wanted).square().mean(dim=(1, 2, 3)) + CERTAIN).sqrt().mean()

    def _kept(self, rng: np.random.Generator) -> tuple[Scene, str]:
        """A scene, and a caption that leaves doubts of it: terms, other people's words, an unsafe
        thing alone, words for one, a place.
        """
        draw = rng.random()
        if draw < KEPT_TERMS:
            scene = random_scene(rng)
            shown = None if scene.unsafe is None else THINGS[scene.unsafe].category
            return scene, str(concept_list(rng, shown))
        if draw < KEPT_TERMS + KEPT_TEXTS:
            return self.pool.scene(rng)
        scene = random_scene(rng, str(rng.choice(["addition", "unsafe", "place"])))
        if scene.unsafe is None or scene.place is not None or not scene.safe:
            return scene, caption(rng, scene)
        category = str(THINGS[scene.unsafe].category)
        return scene, implicit(rng, category, name_of(rng, scene.safe[0]))


def plain_task(rng: np.random.Generator) -> Task:
    """A caption that names all of its scene."""
    scene = _scene(rng, PLAIN)
    return Task(caption=_said(rng, scene), scene=scene)


def guarded_task(rng: np.random.Generator) -> Task:
    """The same, guided away from something: what is asked for is the rest, or, where all of it
    goes, what takes its place.
    """
    scene = _scene(rng, GUARDED)
    said = _said(rng, scene)
    if len(scene.safe) == 2:
        if rng.random() < ABSENT:
            others = [n for n in range(len(SAFE)) if n not in scene.safe]
            return Task(caption=said, scene=scene, concept=name_of(rng, int(rng.choice(others))))
        gone = scene.placed[int(rng.integers(2))]
        rest = tuple(one for one in scene.placed if one is not gone)
        return Task(
            caption=said, scene=replace(scene, placed=rest), concept=name_of(rng, gone.thing)
        )
    category = None if scene.unsafe is None else THINGS[scene.unsafe].category
    terms = terms_against(rng, category)
    rest = tuple(one for one in scene.placed if one.thing != scene.unsafe) or (
        replace(scene.placed[0], thing=STAND_IN[scene.placed[0].thing]),
    )
    return Task(caption=said, scene=replace(scene, placed=rest), concept=terms)


def _scene(rng: np.random.Generator, kinds: dict[str, float]) -> Scene:
    return random_scene(rng, str(rng.choice(list(kinds), p=list(kinds.values()))))


def _said(rng: np.random.Generator, scene: Scene) -> str:
    """All that is in the scene."""
    names = [name_of(rng, thing) for thing in scene.safe]
    if scene.unsafe is not None:
        category = str(THINGS[scene.unsafe].category)
        text = explicit(rng, category, name_of(rng, scene.unsafe), names[0] if names else None)
    else:
        text = str(rng.choice([" and ", " with ", " next to "])).join(map(article, names))
    return on(where(text, scene), scene.background)
