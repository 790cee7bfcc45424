"""The sketch: what the picture of a caption looks like, as far as the words tell, written into the
last states of the text encoder.

Stable Diffusion pads every prompt to 77 positions, and the UNet looks at the padding as it looks at
the words. Here the padding is put to use: the last positions are to hold the latents of the scene,
patch by patch, and the position before them the scene's facts (background, style, is there
something unsafe, of which category). What the words leave open is learnt as its mean.

The text encoder learns this without noise and without the UNet (``training.tower``), and the UNet
learns once for all things how a sketch becomes a picture (``training.generator``). By the diffusion
loss alone every thing in every style would have to be learnt by itself, from about a thousand
views.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn import functional

from training.glyphs import Glyphs
from training.scenes import BACKGROUNDS, SIZE, STYLES, Placed, Scene, render
from training.tokenizer import POSITIONS
from training.vae import CHANNELS, FACTOR, to_tensor
from training.vocabulary import CATEGORIES, THINGS

LATENTS, PATCH = SIZE // FACTOR, 2  # latents of a picture, and of a patch, both each way
PATCHES = (LATENTS // PATCH) ** 2
FACTS_AT = POSITIONS - PATCHES - 1  # the position of the facts; the patches follow
FACTS = 3 + len(STYLES) + 2 + len(CATEGORIES)
TOLD = 0.3  # latents have deviation 1: what differs less from the empty background belongs to it
FINE = 96  # the principal direction of the things beyond which none is made larger any more
SAYS = CHANNELS * PATCH**2  # numbers that a state of the sketch says


def facts(scene: Scene) -> list[float]:
    """Background colour, style, is there a second thing, is there an unsafe one, and its category."""
    category = None if scene.unsafe is None else THINGS[scene.unsafe].category
    colour = [level / 255 for level in BACKGROUNDS[scene.background]]
    told = [len(scene.placed) > 1, category is not None, *(category == c for c in CATEGORIES)]
    return [*colour, *(float(scene.style == style) for style in STYLES), *map(float, told)]


def _patches(latents: Tensor) -> Tensor:
    """(B, C, LATENTS, LATENTS) as (B, PATCHES, SAYS)."""
    return functional.unfold(latents, PATCH, stride=PATCH).transpose(1, 2)


class Sketch:
    """The states that the text encoder is to have at the sketch's positions, and the way back to a
    picture.

    A state is what it says (a patch, or the facts), followed by a fixed signature of its position;
    then all is brought to mean 0 and deviation 1, which is what the text encoder's last
    normalisation leaves it free to say.
    """

    def __init__(self, drawings: Glyphs, vae: AutoencoderTiny, width: int) -> None:
        self._drawings, self._encoder = drawings, vae.encoder
        signs = torch.randint(
            2, (POSITIONS - FACTS_AT, width - SAYS), generator=torch.Generator().manual_seed(0)
        )
        self.signatures = 2.0 * signs - 1
        self._empty = cache(self._make_empty)
        self._drawn = cache(self._make_drawn)
        self._weighing = cache(self._make_weighing)
        self.alone = cache(self._make_alone)

    @torch.no_grad()
    def _encode(self, *scenes: Scene) -> Tensor:
        """(B, C, LATENTS, LATENTS), eight at a time: one by one, or all at once, takes half as long
        again on a CPU.
        """
        pictures = to_tensor([render(scene, self._drawings) for scene in scenes])
        return torch.cat([self._encoder(part) for part in pictures.split(8)])

    def _make_empty(self, background: str) -> Tensor:
        return self._encode(Scene(background=background, placed=()))[0]

    def _make_drawn(self, style: str, background: str, placed: Placed) -> tuple[Tensor, Tensor]:
        """A thing on a background: latents (C, LATENTS, LATENTS), and where they tell of it, (1,
        LATENTS, LATENTS).
        """
        latents = self._encode(Scene(background=background, placed=(placed,), style=style))[0]
        return latents, (latents - self._empty(background)).abs().amax(dim=0, keepdim=True) > TOLD

    def latents(self, scene: Scene) -> Tensor:
        """The scene's latents, (C, LATENTS, LATENTS); of things side by side put together from
        their own, which is nearly the same.
        """
        if len(scene.placed) > 1 and any(item.spot == "middle" for item in scene.placed):
            return self._encode(scene)[0]
        whole = self._empty(scene.background)
        for item in scene.placed:
            drawn, there = self._drawn(scene.style, scene.background, item)
            whole = torch.where(there, drawn, whole)
        return whole

    def _make_alone(self, style: str) -> Tensor:
        """Every thing in the middle on white, less white, (things, C * LATENTS^2)."""
        placed = [Placed(thing=thing, spot="middle") for thing in range(len(THINGS))]
        return (
            self._encode(*(Scene(background="white", placed=(one,), style=style) for one in placed))
            - self._empty("white")
        ).flatten(1)

    def states(self, scenes: Sequence[Scene]) -> Tensor:
        """The states of the captions of scenes from ``FACTS_AT`` on, (B, POSITIONS - FACTS_AT,
        width).
        """
        said = torch.zeros(len(scenes), POSITIONS - FACTS_AT, SAYS)
        said[:, 0, :FACTS] = torch.tensor([facts(scene) for scene in scenes])
        whole = torch.stack([self.latents(scene) for scene in scenes])
        said[:, 1:] = _patches(whole)
        raw = torch.cat([said, self.signatures.expand(len(scenes), -1, -1)], dim=2)
        return functional.layer_norm(raw, raw.shape[2:])

    def _make_weighing(self) -> Tensor:
        """(N, N) for N numbers that all patches of a scene say: principal directions of the things,
        small ones made larger.

        By how much leaves the loss of one who says the mean of all things as it is.
        """
        views = torch.cat(
            [
                _patches(self.alone(style).unflatten(1, (CHANNELS, LATENTS, LATENTS))).flatten(1)
                for style in STYLES
            ]
        )
        _, values, directions = torch.linalg.svd(views - views.mean(dim=0), full_matrices=False)
        gains = (values.square() + values[FINE].square()) ** -0.25
        return (
            directions.T * gains * (values.square().sum() / (values * gains).square().sum()).sqrt()
        )

    def loss(self, states: Tensor, scenes: Sequence[Scene]) -> Tensor:
        """Squared error of the last states of the scenes' captions, (B, length, width), of which
        only the sketch's are asked.

        What tells one thing from another is small beside what tells a dark one from a bright one,
        and would be learnt last: it counts for more (``_make_weighing``). The mean of what a
        caption leaves open is the best guess under any such weights.
        """
        return self.weighed(states[:, FACTS_AT - POSITIONS :] - self.states(scenes))

    def weighed(self, error: Tensor) -> Tensor:
        """The mean square of an error of the states from ``FACTS_AT`` on, (B, POSITIONS - FACTS_AT,
        width), weighed as in ``loss``.
        """
        looks = error[:, 1:, :SAYS].flatten(1) @ self._weighing()
        rest = error[:, 0].square().sum() + error[:, 1:, SAYS:].square().sum()
        return (looks.square().sum() + rest) / error.numel()

    @torch.no_grad()
    def picture(self, states: Tensor, vae: Any) -> Tensor:
        """What the states of captions say that their scenes look like, (B, 3, SIZE, SIZE) in [-1,
        1].
        """
        patches = states[:, FACTS_AT + 1 :]
        # The signature, of ones, tells by how much a state was scaled, and the mean that was taken
        # away.
        signs = self.signatures[1:] - self.signatures[1:].mean(dim=1, keepdim=True)
        scale = (patches[..., SAYS:] * signs).sum(dim=2, keepdim=True) / signs.square().sum(
            dim=1, keepdim=True
        )
        shift = (patches[..., SAYS:] - scale * self.signatures[1:]).mean(dim=2, keepdim=True)
        said = (patches[..., :SAYS] - shift) / scale
        return vae.decoder(
            functional.fold(said.transpose(1, 2), (LATENTS, LATENTS), PATCH, stride=PATCH)
        )
