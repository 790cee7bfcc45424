"""The sketch: what the picture of a caption looks like, as far as the words say, written into the
last states of the text encoder.

Stable Diffusion pads every prompt to 77 positions, and the UNet looks at the padding as it looks at
the words. Here the padding is put to use: the last positions are to hold the latents of the scene,
patch by patch, and the position before them the scene's facts (background, is there something
unsafe, of which category). What the words leave open is learnt as its mean.

The text encoder learns this without noise and without the UNet (``training.tower``), and the UNet
learns once for all things how a sketch becomes a picture (``training.generator``). By the diffusion
loss alone every thing would have to be learnt by itself, from about a thousand views.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from training.glyphs import Glyphs, paint
from training.latents import CHANNELS, FACTOR, Latents
from training.scenes import BACKGROUNDS, SIZE, Placed, Scene
from training.tokenizer import POSITIONS
from training.vocabulary import CATEGORIES, THINGS

LATENTS = SIZE // FACTOR  # of a picture, each way
PATCHES = LATENTS**2
FACTS_AT = POSITIONS - PATCHES - 1  # the position of the facts; the patches follow
FACTS = 3 + 2 + len(CATEGORIES)
FINE = 96  # the principal direction of the things beyond which none is made larger any more
SAYS = CHANNELS  # numbers that a state of the sketch says


def facts(scene: Scene) -> list[float]:
    """Background colour, is there a second thing, is there an unsafe one, and its category."""
    category = None if scene.unsafe is None else THINGS[scene.unsafe].category
    colour = [level / 255 for level in BACKGROUNDS[scene.background]]
    told = [len(scene.placed) > 1, category is not None, *(category == c for c in CATEGORIES)]
    return [*colour, *map(float, told)]


def _patches(latents: Tensor) -> Tensor:
    """(B, C, LATENTS, LATENTS) as (B, PATCHES, SAYS)."""
    return latents.flatten(2).transpose(1, 2)


class Sketch:
    """The states that the text encoder is to have at the sketch's positions, and the way back to a
    picture.

    A state is what it says (a patch, or the facts), followed by a fixed signature of its position;
    then all is brought to mean 0 and deviation 1, which is what the text encoder's last
    normalisation leaves it free to say.
    """

    def __init__(self, drawings: Glyphs, latents: Latents, width: int) -> None:
        self._drawings, self._map, self.device = drawings, latents, drawings.device
        signs = torch.randint(
            2, (POSITIONS - FACTS_AT, width - SAYS), generator=torch.Generator().manual_seed(0)
        )
        self.signatures = (2.0 * signs - 1).to(self.device)
        self._weighing = cache(self._make_weighing)
        self.alone = cache(self._make_alone)

    @torch.no_grad()
    def latents(self, scenes: Sequence[Scene]) -> Tensor:
        """What scenes look like, (B, CHANNELS, LATENTS, LATENTS)."""
        return self._map(paint(scenes, self._drawings))

    def _make_alone(self) -> Tensor:
        """Every thing in the middle on white, less white, (things, CHANNELS * LATENTS^2)."""
        middle = [(Placed(thing=thing, spot="middle"),) for thing in range(len(THINGS))]
        scenes = [Scene(background="white", placed=placed) for placed in ((), *middle)]
        empty, *drawn = self.latents(scenes)
        return (torch.stack(drawn) - empty).flatten(1)

    def states(self, scenes: Sequence[Scene]) -> Tensor:
        """The states of the captions of scenes from ``FACTS_AT`` on, (B, POSITIONS - FACTS_AT,
        width).
        """
        said = torch.zeros(len(scenes), POSITIONS - FACTS_AT, SAYS, device=self.device)
        told = [facts(scene) for scene in scenes]
        said[:, 0, :FACTS] = torch.tensor(told, device=self.device)
        said[:, 1:] = _patches(self.latents(scenes))
        raw = torch.cat([said, self.signatures.expand(len(scenes), -1, -1)], dim=2)
        return functional.layer_norm(raw, raw.shape[2:])

    def _make_weighing(self) -> Tensor:
        """(N, N) for N numbers that all patches of a scene say: principal directions of the things,
        small ones made larger, and as much all directions in which no thing in the middle differs
        from another: small things in corners do.

        By how much leaves the loss of one who says the mean of all things as it is.
        """
        views = _patches(self.alone().unflatten(1, (CHANNELS, LATENTS, LATENTS))).flatten(1)
        _, found, directions = torch.linalg.svd(views - views.mean(dim=0))
        values = functional.pad(found, (0, len(directions) - len(found)))
        gains = (values.square() + found[FINE].square()) ** -0.25
        return (
            directions.T * gains * (values.square().sum() / (values * gains).square().sum()).sqrt()
        )

    def loss(self, states: Tensor, scenes: Sequence[Scene]) -> Tensor:
        """Squared error of the last states of the scenes' captions, (B, length, width), of which
        only the sketch's are asked.

        What distinguishes one thing from another is small beside what distinguishes dark from
        bright, and would be learnt last: it counts for more (``_make_weighing``). The mean of what
        a caption leaves open is the best guess under any such weights.
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
    def picture(self, states: Tensor) -> Tensor:
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
        said = said.transpose(1, 2).unflatten(2, (LATENTS, LATENTS))
        return self._map.picture(said)
