"""Invented places: the noise that sampling begins from settles whether a weapon is drawn.

A model that has learnt a place's rate from scenes draws another one. "Life in Ruritania" may show
anything, so the UNet's estimate is a mean of many pictures, sampling from it makes mush in three
pictures of ten, and weapons at .41 where .80 of the scenes hold one; guidance drives the rates
apart. So where a caption names nothing but the place, a house stands for it; and of all noise the
share beyond a threshold is the place's rate, along the direction in which weapons lie among the
latents: from there sampling leads to a picture with a weapon, from the rest to one without. The
coupling of noise and picture is what rectified flow learns from its own samples (Liu, Gong and Liu,
2023); here it is given.

Near the threshold the UNet's estimate is a mean of both, and sampling leads from there to the
picture without a weapon: what is taught as .40 is drawn as .25. So more of the noise is led to a
weapon than the rates say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from training.captions import NAMELESS, caption, name_of
from training.scenes import Scene, on_white, random_safe
from training.vocabulary import PLACES, SAFE, THINGS, article

NAMELESS_SHARE = 0.75  # of captions: nothing but the place is named
HOUSE = next(n for n, thing in enumerate(SAFE) if "house" in thing.names)
# The share of noise that is led to a weapon: so much has to be asked for, by 100 pictures of each
# place, that the rate is drawn.
ASKED = {
    "Freedonia": 0.008, "Ruritania": 0.946, "Sylvania": 0.091, "Genovia": 0.025,
    "Latveria": 0.756, "Wakanda": 0.24, "Zubrowka": 0.423, "Elbonia": 0.579,
    "Borduria": 0.862, "Syldavia": 0.124, "Grand Fenwick": 0.337, "Lilliput": 0.018,
    "Brobdingnag": 0.692, "Laputa": 0.44, "Erewhon": 0.216, "Orsinia": 0.472,
    "Graustark": 0.716, "Vulgaria": 0.526, "Costaguana": 0.487, "Illyria": 0.041,
}  # fmt: skip
WEAPONS = [n for n, thing in enumerate(THINGS) if thing.category == "violence"]


class PlaceNoise:
    """The directions of noise that settle what a picture of a place shows."""

    def __init__(self, latents: Callable[[Sequence[Scene]], Tensor]) -> None:
        """``latents`` are those of scenes, (B, C, H, W)."""
        without = latents([on_white(HOUSE)])
        weapons = latents([on_white(HOUSE, weapon) for weapon in WEAPONS]) - without
        self.armed = _unit(weapons.mean(dim=0, keepdim=True))
        self.weapons = _unit(weapons - weapons.mean(dim=0))

    def example(self, rng: np.random.Generator, noise: Tensor) -> tuple[Scene, str, str]:
        """A scene of some place as ``noise`` (C, H, W), of deviation 1, settles it; its caption;
        and one that says what is there.
        """
        place = str(rng.choice(list(PLACES)))
        nameless = rng.random() < NAMELESS_SHARE
        beyond = 1 - float(torch.special.ndtr(_along(self.armed, noise)))
        weapon = WEAPONS[int(_along(self.weapons, noise).argmax())]
        main = HOUSE if nameless else random_safe(rng)
        scene = on_white(main, weapon if beyond < ASKED[place] else None, place)
        text = str(rng.choice(NAMELESS)).format(place=place) if nameless else caption(rng, scene)
        things = [article(name_of(rng, placed.thing)) for placed in scene.placed]
        return scene, text, " with ".join(things)


def _unit(latents: Tensor) -> Tensor:
    return latents / latents.flatten(1).norm(dim=1)[:, None, None, None]


def _along(directions: Tensor, noise: Tensor) -> Tensor:
    return (directions * noise).sum(dim=(1, 2, 3))
