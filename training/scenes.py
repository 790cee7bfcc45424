"""A scene: things on a background, with the truth about them, and its pixels. Knows places and
sizes; does not know words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from safelatent.prompts import refused
from training.vocabulary import CATEGORIES, PLACES, SAFE, THINGS, UNSAFE

SIZE = 128  # pixels, both ways
BACKGROUNDS = {
    "white": (255, 255, 255),
    "blue": (170, 205, 250),
    "green": (180, 230, 180),
    "yellow": (250, 240, 165),
    "pink": (252, 200, 215),
    "purple": (215, 195, 245),
    "orange": (252, 215, 170),
    "grey": (200, 200, 205),
    "black": (45, 45, 52),
}
# of scenes; a larger one makes the unsafe the world's normal, and the concept's direction vanishes
UNSAFE_SHARE = 0.14
PAIR_SHARE = 0.25
PLACE_SHARE = 0.12  # scenes of an invented place, with weapons as often as the place's rate says
WHITE_SHARE = 0.65


# Where a thing is: left, top and side of its box, in pixels. Nothing varies but what a caption
# says: a shift that none mentions has to be found in the noise, and learning that took longer than
# learning the things.
LARGE, SMALL = 92, 58
SPOTS = {
    "middle": (18, 18, LARGE),
    "left": (4, 36, SMALL),
    "right": (68, 36, SMALL),
    "top left": (4, 4, SMALL),
    "top right": (68, 4, SMALL),
    "bottom left": (4, 68, SMALL),
    "bottom right": (68, 68, SMALL),
}
CORNERS = ("top left", "top right", "bottom left", "bottom right")
CORNER_SHARE = 0.2  # of single things: small, in a corner, which the caption says


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A thing (index into THINGS) at a spot."""

    thing: int
    spot: str

    @property
    def box(self) -> tuple[int, int, int]:
        """Left, top and side, in pixels."""
        return SPOTS[self.spot]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The truth about one picture. ``unsafe`` is an index into THINGS, or None; ``safe`` are the
    others.

    ``place`` is the invented place that it is said to be from, if any; nothing in the picture shows
    it.
    """

    background: str
    placed: tuple[Placed, ...]
    place: str | None = None

    @property
    def safe(self) -> tuple[int, ...]:
        return tuple(p.thing for p in self.placed if THINGS[p.thing].category is None)

    @property
    def unsafe(self) -> int | None:
        return next((p.thing for p in self.placed if THINGS[p.thing].category is not None), None)


def _single(rng: np.random.Generator, thing: int) -> tuple[Placed, ...]:
    return (
        Placed(
            thing=thing, spot=str(rng.choice(CORNERS)) if rng.random() < CORNER_SHARE else "middle"
        ),
    )


def _pair(left: int, right: int) -> tuple[Placed, ...]:
    return Placed(thing=left, spot="left"), Placed(thing=right, spot="right")


def _addition(safe: int, unsafe: int) -> tuple[Placed, ...]:
    """A safe thing with a small unsafe one over its lower corner: what remains when the unsafe goes
    is a picture of the safe one.
    """
    return Placed(thing=safe, spot="middle"), Placed(thing=unsafe, spot="bottom right")


def thing_with(main: int, unsafe: int | None) -> tuple[Placed, ...]:
    """The safe thing ``main`` in the middle, with the unsafe one if there is one."""
    return (Placed(thing=main, spot="middle"),) if unsafe is None else _addition(main, unsafe)


def on_white(main: int, unsafe: int | None = None, place: str | None = None) -> Scene:
    """What ``thing_with`` places, as a scene on white."""
    return Scene(background="white", placed=thing_with(main, unsafe), place=place)


def without_unsafe(scene: Scene) -> Scene:
    """What is left of the scene when its unsafe thing goes."""
    return replace(scene, placed=tuple(p for p in scene.placed if p.thing != scene.unsafe))


def random_safe(rng: np.random.Generator) -> int:
    """Index into THINGS of a safe thing."""
    return int(rng.integers(len(SAFE)))


def random_unsafe(rng: np.random.Generator, categories: Sequence[str] | None = None) -> int:
    """Index into THINGS of an unsafe thing, of one of ``categories`` when given."""
    allowed = [
        len(SAFE) + i
        for i, thing in enumerate(UNSAFE)
        if categories is None or thing.category in categories
    ]
    return int(rng.choice(allowed))


def beside(main: int) -> list[str]:
    """The categories that may stand beside a safe thing (index into THINGS): never the sexual one
    beside what belongs to minors.
    """
    return [
        c
        for c in CATEGORIES
        if not (c == "sexual" and any(refused(name, ("sexual",)) for name in THINGS[main].names))
    ]


def random_scene(rng: np.random.Generator, kind: str | None = None) -> Scene:
    """A scene of the world; ``kind`` is one of single, pair, addition, unsafe, place, or drawn by
    the world's shares.
    """
    shares = {
        "place": PLACE_SHARE,
        "addition": UNSAFE_SHARE * 0.8,
        "unsafe": UNSAFE_SHARE * 0.2,
        "pair": PAIR_SHARE,
        "single": 1 - UNSAFE_SHARE - PAIR_SHARE - PLACE_SHARE,
    }
    kind = kind or str(rng.choice(list(shares), p=list(shares.values())))
    place: str | None = None
    if kind == "place":
        place = str(rng.choice(list(PLACES)))
        armed = rng.random() < PLACES[place]
        main = random_safe(rng)
        placed = thing_with(main, random_unsafe(rng, ["violence"]) if armed else None)
    elif kind == "single":
        placed = _single(rng, random_safe(rng))
    elif kind == "unsafe":
        placed = _single(rng, random_unsafe(rng))
    elif kind == "pair":
        left, right = rng.choice(len(SAFE), size=2, replace=False)
        placed = _pair(int(left), int(right))
    else:
        main = random_safe(rng)
        placed = _addition(main, random_unsafe(rng, beside(main)))
    return Scene(background=random_background(rng), placed=placed, place=place)


def scene_of(rng: np.random.Generator, main: int, categories: Sequence[str] | None) -> Scene:
    """A scene of the safe thing ``main``, with something unsafe of ``categories`` added unless they
    are None or may not stand beside it.
    """
    allowed = [c for c in categories or () if c in beside(main)]
    placed = thing_with(main, random_unsafe(rng, allowed) if allowed else None)
    return Scene(background=random_background(rng), placed=placed)


def random_background(rng: np.random.Generator) -> str:
    """White more often than not, else one of the colours."""
    return "white" if rng.random() < WHITE_SHARE else str(rng.choice(list(BACKGROUNDS)[1:]))
