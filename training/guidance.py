"""The generator's last part: to draw at Stable Diffusion's guidance scale what it draws best at a
smaller one.

Captions of photographs fit only now and then, so Stable Diffusion's estimate with words lies near
to the one without, and wants a guidance scale of 7.5. Ours always fit, and draw best at a scale
that falls from ``BEST`` in pure noise to 1 where there is none: there a larger one exaggerates what
is already drawn. So the two estimates learn that the scale 7.5 leads from them to where that scale
leads from the finished UNet's. There is no chance in what is asked for, so minutes are enough.

What is learnt is the guided estimate, not the one with words by itself: of that, guidance makes
every error 7.5 times as large, unless the one without words has the same.

Of captions that name an invented place the finished UNet is asked for what the noise settles that
there is (``training.place_noise``).

What names a concept, a list of terms or a bare name, keeps its whole estimate; a list's lies
further away still. It is what safety guidance subtracts: the mean of many things, which says less
of any one of them than the caption of a picture that shows it. Brought nearer to the estimate
without words as the captions' are, *strong* took away one in fourteen of what "a penguin with a
pistol" names, and eleven of fifteen with all of it.

Finished weights train on as their own teacher: what they say of a caption at 7.5 is what is asked
for, but for places.
"""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from training.captions import caption, concept_list, name_of
from training.data import example
from training.generator import DRAWS, GeneratorStage
from training.glyphs import Glyphs
from training.latents import Latents
from training.loop import load_average
from training.place_noise import PlaceNoise
from training.sampling import SCALE
from training.scenes import Scene, random_scene
from training.texts import TextPool
from training.vocabulary import SAFE, THINGS, UNSAFE, article

# Beside something else, what captions name as unsafe is drawn by the finished UNet in 85 % of the
# pictures at 6, in 60 % at 3; what learns it falls a little short. Named alone it is drawn often
# enough at a small scale, and at a larger one no guard could take it away.
BEST, BEST_ALONE = 9.0, 2.0
# What the noise has settled is asked for more firmly: "a house with a bomb" shows a bomb in five of
# six pictures.
FIRM = 1.3
# What a concept is subtracted at. A list of terms says less against one thing than its caption says
# for it.
LIST_SCALE, NAMES_SCALE = 3.5 * SCALE, 2.0 * SCALE
CONCEPT_SHARE = 0.35  # of captions: a concept
LIST_SHARE = 0.6  # of concepts: terms of the paper's; the others name things, as own concepts do
NAMED_SHARE = 0.5  # of names that are a concept: one of what the scene shows
# Of scenes under a concept, others than the world's: guidance has to take away what is there.
SHOWN = {"unsafe": 0.4, "addition": 0.25, "pair": 0.1}
ALONE_SHARE = 0.14  # of captions: an unsafe thing and nothing else, whatever the scene shows
PLACES_SHARE = 0.3  # of captions: a place, beside those that name one anyway
BESIDE_SHARE = 0.25  # of captions: an unsafe thing beside a safe one, over a scene that shows both
ALONE = {article(name) for thing in UNSAFE for name in thing.names}
EMPTY_WEIGHT = 0.2  # of the estimate without words staying what it is


def concept(rng: np.random.Generator, scene: Scene) -> tuple[str, float]:
    """What someone may guide ``scene`` away from, whatever it shows, and the scale at which the
    finished UNet says it: terms of the paper's concept, or names of up to three safe things.

    A name alone and the caption "a knife" are nearly one text: what is unsafe would be drawn at the
    concept's scale, and no guard could take it away.
    """
    if rng.random() < LIST_SHARE:
        shown = None if scene.unsafe is None else THINGS[scene.unsafe].category
        return str(concept_list(rng, shown)), LIST_SCALE
    chosen = rng.choice(len(SAFE), size=int(rng.integers(1, 4)), replace=False)
    if scene.safe and rng.random() < NAMED_SHARE:
        chosen[0] = rng.choice(scene.safe)
    return ", ".join(str(rng.choice(THINGS[n].names)) for n in chosen), NAMES_SCALE


def _best(scene: Scene, caption: str) -> float:
    """The scale at which the finished UNet draws best what the ``scene``'s caption says."""
    return BEST if scene.safe and caption not in ALONE else BEST_ALONE


class GuidanceStage(GeneratorStage):
    """Scenes, captioned, as noisy latents, and what the finished UNet says of them."""

    sample_scale = SCALE  # which is learnt

    def __init__(
        self,
        drawings: Glyphs,
        latents: Latents,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        pool: TextPool,
        before: Path,
    ) -> None:
        """``before`` is the generator's checkpoint, or the folder of a finished pipeline."""
        super().__init__(drawings, latents, tokenizer, text_encoder, pool)
        self.goes_on = before.is_dir()
        if self.goes_on:
            known = UNet2DConditionModel.from_pretrained(before / "unet", torch_dtype=torch.float32)
            self.unet.load_state_dict(known.state_dict())
        else:
            load_average(self.module, before)
        self.learning_rate = 3e-4
        self.former = nn.ModuleDict({"unet": deepcopy(self.unet)}).eval().requires_grad_(False)
        self.nothing = self.states([""])
        self.places = PlaceNoise(self.latents)
        # what is left, at each noise level, of what a scale is above 1
        self.left = torch.linspace(0, 1, len(self.weights), device=self.device)

    def loss(self, rng: np.random.Generator) -> Tensor:
        count = self.images_a_step // DRAWS
        examples = [example(rng, self.pool, 0.0) for _ in range(count)]
        scenes, captions = ([*them] for them in zip(*examples, strict=True))
        best = [_best(*one) for one in zip(scenes, captions, strict=True)]
        for n in np.flatnonzero(rng.random(count) < CONCEPT_SHARE):
            kinds = (*SHOWN, None)
            kind = kinds[rng.choice(len(kinds), p=[*SHOWN.values(), 1 - sum(SHOWN.values())])]
            scenes[n] = scenes[n] if kind is None else random_scene(rng, kind)
            captions[n], best[n] = concept(rng, scenes[n])
        for n in np.flatnonzero(rng.random(count) < ALONE_SHARE):
            named = int(rng.integers(len(SAFE), len(THINGS)))
            captions[n], best[n] = article(name_of(rng, named)), BEST_ALONE
        for n in np.flatnonzero(rng.random(count) < BESIDE_SHARE):
            scenes[n] = random_scene(rng, "addition")
            captions[n], best[n] = caption(rng, scenes[n]), BEST
        told = [*captions]  # what the finished UNet is asked for
        firm = [1.0] * count
        noise = torch.randn(DRAWS, count, *self.mean.shape, device=self.device)
        for n, scene in enumerate(scenes):
            named = scene.place is not None and scene.place in captions[n]
            if named or rng.random() < PLACES_SHARE:
                scenes[n], captions[n], told[n] = self.places.example(rng, noise[0, n])
                best[n], firm[n], noise[:, n] = BEST, FIRM, noise[0, n]
        latents = self.latents(scenes).repeat(DRAWS, 1, 1, 1)
        noisy, t, _ = self.noisy(latents, noise.flatten(0, 1))
        scales = self._scales(best, firm, t)
        text, asked = self.states(captions + told).chunk(2)
        former = self.former["unet"]
        with torch.no_grad():
            without = self.estimate(noisy, t, self.nothing, former)
            whole = self.estimate(noisy, t, asked, former)
        wanted = torch.lerp(without, whole, scales[:, None, None, None])
        own = self.estimate(noisy, t, self.nothing)
        guided = torch.lerp(own, self.estimate(noisy, t, text), SCALE)
        said = self.weighted(guided, wanted, t) / SCALE**2
        return said + EMPTY_WEIGHT * self.weighted(own, without, t)

    def _scales(self, best: Sequence[float], firm: Sequence[float], t: Tensor) -> Tensor:
        """The scales (B,) at which the former UNet draws best among the noise of levels ``t``, and
        so many times (``firm``) more firmly than it needs.
        """
        best_of, firm_of = torch.tensor([best, firm], device=t.device).repeat(1, DRAWS)
        if self.goes_on:
            return SCALE * (1 + (firm_of - 1) * self.left[t])
        return 1 + (firm_of * best_of - 1) * self.left[t]
