"""The decoder's last part: to draw sharply what the generator means.

Guidance at 7.5 leaves latents that are off by as much as half of their own size, and always in the
same way for the same content: too much contrast, too little of the faint detail. The decoder has
learnt from the latents of real scenes, and shows that as blots. Here it learns from what the
generator makes of a scene: noise is added to the scene's latents, the sampler takes it away again
with guidance, and what is asked for is the scene. Where the scene is harmless, safety guidance is
part of that in half of the cases, so that it costs no sharpness.

The latents hold no line of a small fist or axe: the decoder draws what it has learnt to be there.
So half of the scenes hold a small unsafe thing, each as often as its lines are off.

Guidance away from a thing that a caption names leaves a pale stain of it. What is meant is the
scene without it, so that is asked for; but where the latents are nearer to the scene with it, it
is there, and has to be drawn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from safelatent.concepts import DEFAULT_CONCEPT
from safelatent.guidance import SLD, preset
from safelatent.guidance.noise import noise_level
from training.captions import name_of, on
from training.generator import new_scheduler
from training.glyphs import Glyphs, paint
from training.latents import Latents
from training.sampling import FIRST, falling, sampled
from training.scenes import (
    Scene,
    beside,
    on_white,
    random_background,
    random_safe,
    thing_with,
    without_unsafe,
)
from training.tokenizer import token_ids
from training.tower import finished, plain
from training.vae import LATENT_SCALE, DecoderStage, psnr, sheet, to_pictures
from training.vocabulary import SAFE, THINGS, UNSAFE, article

# Kinds of the scenes that are generated: what is beside something else is small, and has the most
# lines to learn.
KINDS = {"single": 0.3, "pair": 0.25, "addition": 0.4, "unsafe": 0.05}
SMALL_SHARE = 0.5  # of scenes, the generated ones and the others, with a small unsafe thing
NEXT_TO = (0, 50, 100, 150, 200, 250)  # safe things, beside which the unsafe are looked at first
CHANGED = 0.05  # of a pixel in [-1, 1], at least, where a thing is
GENERATED_SHARE = 0.5  # of a step's pictures; the others are of the scenes' own latents
DRAWN, USES = 40, 3  # generated at once, and how often each is learnt from
REMOVED_SHARE = 0.2  # of these: a small unsafe thing is named, and guided away from
# Noise levels from which the sampler begins. Much of a scene is left at all of them; the unsafe
# things' are lower: among the most of it the generator may leave them out.
FROM, FROM_UNSAFE = (300, 950), (300, 850)
STRIDE = 80  # noise levels a step
COLOURED_SHARE = 0.2  # of scenes with a small unsafe thing, and then as often as any
GUARDED_SHARE = 0.5  # of harmless scenes
# Without a warm-up: the sampler begins where most of it would be over.
SAFETIES = tuple(replace(preset(name), warmup=0) for name in ("medium", "strong", "max"))
REMOVING = tuple(preset(name).by_noise_level() for name in ("strong", "max"))


class FinishStage(DecoderStage):
    """Scenes, from their latents and from what the generator makes of them."""

    learning_rate = 1e-3

    def __init__(
        self,
        drawings: Glyphs,
        latents: Latents,
        tokenizer: CLIPTokenizer,
        text_encoder: CLIPTextModel,
        unet: Any,
        decoder: nn.Module,
    ) -> None:
        """All but the ``decoder`` are finished."""
        super().__init__(drawings, latents)
        self.module.load_state_dict(decoder.state_dict())
        self.tokenizer = tokenizer
        self.text_encoder = finished(text_encoder, self.device)
        self.unet = unet.eval().requires_grad_(False).to(self.device)
        self.scheduler = new_scheduler()
        self.alphas = self.scheduler.alphas_cumprod.to(self.device)
        self.nothing, self.concept = self._states(["", str(DEFAULT_CONCEPT)]).chunk(2)
        self.shares = self._shares()
        self._left: list[tuple[Tensor, Tensor]] = []  # still to be learnt from

    def scene(self, rng: np.random.Generator, kind: str) -> Scene:
        """One of this kind, or with a small unsafe thing."""
        return self.small(rng) if rng.random() < SMALL_SHARE else super().scene(rng, kind)

    def small(self, rng: np.random.Generator) -> Scene:
        """A safe thing with an unsafe one beside it, mostly on white."""
        unsafe = len(SAFE) + int(rng.choice(len(UNSAFE), p=self.shares))
        safe = random_safe(rng)
        while THINGS[unsafe].category not in beside(safe):
            safe = random_safe(rng)
        coloured = rng.random() < COLOURED_SHARE
        background = random_background(rng) if coloured else "white"
        return Scene(background=background, placed=thing_with(safe, unsafe))

    def named(self, rng: np.random.Generator) -> tuple[Scene, str]:
        """A scene with a small unsafe thing, and a caption that names both things."""
        scene = self.small(rng)
        safe, unsafe = (article(name_of(rng, placed.thing)) for placed in scene.placed)
        return scene, on(f"{safe} with {unsafe}", scene.background)

    def captioned(self, rng: np.random.Generator) -> tuple[Scene, str]:
        """A scene and a caption that says all of it."""
        if rng.random() < SMALL_SHARE:
            return self.named(rng)
        scene, text = plain(rng, KINDS)
        with_it = scene.unsafe is not None and len(scene.placed) > 1 and rng.random() < 0.5
        return scene, text.replace(" and ", " with ", 1) if with_it else text

    def pairs(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor]:
        """Scenes and latents, of which so many are generated."""
        count = round(GENERATED_SHARE * size)
        pixels, latents = super().pairs(rng, size - count)
        while len(self._left) < count:
            drawn = self._drawn(rng)
            self._left += [drawn[n] for _ in range(USES) for n in rng.permutation(len(drawn))]
        some, self._left = self._left[:count], self._left[count:]
        return (
            torch.cat([pixels, torch.stack([x for x, _ in some])]),
            torch.cat([latents, torch.stack([z for _, z in some])]),
        )

    def _drawn(self, rng: np.random.Generator) -> list[tuple[Tensor, Tensor]]:
        """``DRAWN`` scenes, and what the generator makes of each."""
        count = DRAWN * self.drawings.times
        removed = round(REMOVED_SHARE * count)
        scenes = [self.captioned(rng) for _ in range(count - removed)]
        safe = [one for one in scenes if one[0].unsafe is None]
        unsafe = [one for one in scenes if one[0].unsafe is not None]
        guarded = round(GUARDED_SHARE * len(safe))
        safety = SAFETIES[int(rng.integers(len(SAFETIES)))]
        found = self._removed(rng, removed)
        for group, start, guard in (
            (safe[:guarded], int(rng.integers(*FROM)), safety),
            (safe[guarded:], int(rng.integers(*FROM)), None),
            (unsafe, int(rng.integers(*FROM_UNSAFE)), None),
        ):
            if group:
                pixels = paint([scene for scene, _ in group], self.drawings)
                made = self.generated(pixels, [text for _, text in group], start, guard)
                found += zip(pixels, made, strict=True)
        return found

    def _removed(self, rng: np.random.Generator, count: int) -> list[tuple[Tensor, Tensor]]:
        """So many scenes whose unsafe thing is named and guided away from, and what is left."""
        named = [self.named(rng) for _ in range(count)]
        present = paint([scene for scene, _ in named], self.drawings)
        absent = paint([without_unsafe(scene) for scene, _ in named], self.drawings)
        guard = REMOVING[int(rng.integers(len(REMOVING)))]
        made = self.generated(absent, [text for _, text in named], FIRST, guard)
        far = [(made - self.latents(x)).square().sum((1, 2, 3)) for x in (present, absent)]
        there = (far[0] < far[1])[:, None, None, None]
        return list(zip(torch.where(there, present, absent), made, strict=True))

    @torch.no_grad()
    def generated(
        self, pixels: Tensor, captions: list[str], start: int, safety: SLD | None = None
    ) -> Tensor:
        """What the sampler makes of pictures (B, 3, H, W) to which noise of the level ``start``
        was added, as latents of deviation 1, (B, CHANNELS, LATENTS, LATENTS).
        """
        latents = LATENT_SCALE * self.latents(pixels)
        levels = falling(start, -(-start // STRIDE))
        first = torch.full((len(latents),), levels[0], device=self.device)
        noisy = self.scheduler.add_noise(latents, torch.randn_like(latents), first)
        texts = [self.nothing.expand(len(latents), -1, -1), self._states(captions)]
        if safety is not None:
            texts.append(self.concept.expand(len(latents), -1, -1))
            alphas = self.alphas[levels[:-1]].double()
            pairs = zip(alphas.sqrt().tolist(), (1 - alphas).sqrt().tolist(), strict=True)
            safety = safety.on([noise_level(*pair) for pair in pairs])
        return sampled(self.unet, self.alphas, noisy, levels, texts, safety) / LATENT_SCALE

    @torch.no_grad()
    def _states(self, captions: list[str]) -> Tensor:
        return self.text_encoder(token_ids(self.tokenizer, captions).to(self.device))[0]

    @torch.no_grad()
    def _shares(self) -> np.ndarray:
        """Of the unsafe things: each by how far the decoder draws it from its drawing, as the root
        of the mean square where it is.
        """
        alone = paint([on_white(safe) for safe in NEXT_TO], self.drawings)
        off = []
        for unsafe in range(len(SAFE), len(THINGS)):
            x = paint([on_white(safe, unsafe) for safe in NEXT_TO], self.drawings)
            there = (x - alone).abs().amax(1, keepdim=True) > CHANGED
            error = (self.module(self.latents(x)) - x).square().mean(1, keepdim=True)
            off.append(float(error[there].mean().sqrt()))
        return np.array(off) / sum(off)

    @torch.no_grad()
    def picture(self) -> Image.Image:
        """Scenes, from their latents, and from what the generator makes of them."""
        rng = np.random.default_rng(1)
        scenes = [self.captioned(rng) for _ in range(24)]
        x = paint([scene for scene, _ in scenes], self.drawings)
        made = self.generated(x, [text for _, text in scenes], FROM_UNSAFE[1])
        y, drawn = (
            torch.cat([self.module(part) for part in latents.split(8)])
            for latents in (self.latents(x), made)
        )
        print(f"finish: {psnr(y, x):.2f} dB, {psnr(drawn, x):.2f} dB generated", flush=True)
        return sheet(to_pictures(x) + to_pictures(y) + to_pictures(drawn), 12)
