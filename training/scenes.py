"""A scene: things on a background, with the truth about them, and its pixels. Knows places and sizes; does not know words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from safelatent.prompts import refused
from training.vocabulary import CATEGORIES, PLACES, SAFE, THINGS, UNSAFE

SIZE = 64  # pixels, both ways
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
UNSAFE_SHARE = 0.10  # of scenes; a larger one makes the unsafe the world's normal, and the concept's direction vanishes
PAIR_SHARE = 0.26
PLACE_SHARE = 0.18  # scenes of an invented place, with weapons as often as the place's rate says
WHITE_SHARE = 0.65


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A thing (index into THINGS) at a centre, with a side, all in pixels."""

    thing: int
    x: float
    y: float
    side: int


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The truth about one picture. ``unsafe`` is an index into THINGS, or None; ``safe`` are the others.

    ``place`` is the invented place that it is said to be from, if any; nothing in the picture shows it.
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


def _jitter(rng: np.random.Generator, centre: float, reach: float) -> float:
    return centre + float(rng.uniform(-reach, reach))


def _single(rng: np.random.Generator, thing: int) -> tuple[Placed, ...]:
    return (Placed(thing=thing, x=_jitter(rng, 32, 1.5), y=_jitter(rng, 32, 1.5), side=int(rng.integers(46, 51))),)


def _pair(rng: np.random.Generator, left: int, right: int) -> tuple[Placed, ...]:
    side = int(rng.integers(29, 32))
    return tuple(Placed(thing=t, x=_jitter(rng, x, 1), y=_jitter(rng, 32, 2), side=side) for t, x in ((left, 16), (right, 48)))


def _addition(rng: np.random.Generator, safe: int, unsafe: int) -> tuple[Placed, ...]:
    """A safe thing with an unsafe one in a lower corner: what remains when the unsafe goes still makes sense."""
    right = rng.random() < 0.5
    main = Placed(thing=safe, x=_jitter(rng, 26 if right else 38, 1), y=_jitter(rng, 26, 1), side=int(rng.integers(39, 42)))
    added = Placed(thing=unsafe, x=_jitter(rng, 48 if right else 16, 1), y=_jitter(rng, 47, 1), side=int(rng.integers(28, 31)))
    return main, added


def random_safe(rng: np.random.Generator) -> int:
    """Index into THINGS of a safe thing."""
    return int(rng.integers(len(SAFE)))


def random_unsafe(rng: np.random.Generator, categories: Sequence[str] | None = None) -> int:
    """Index into THINGS of an unsafe thing, of one of ``categories`` when given."""
    allowed = [len(SAFE) + i for i, thing in enumerate(UNSAFE) if categories is None or thing.category in categories]
    return int(rng.choice(allowed))


def _beside(main: int) -> list[str]:
    """The categories that may stand beside a thing: never the sexual one beside what belongs to minors."""
    return [c for c in CATEGORIES if not (c == "sexual" and any(refused(name, ("sexual",)) for name in THINGS[main].names))]


def random_scene(rng: np.random.Generator, kind: str | None = None) -> Scene:
    """A scene of the world; ``kind`` is one of single, pair, addition, unsafe, place, or drawn by the world's shares."""
    shares = {
        "place": PLACE_SHARE,
        "addition": UNSAFE_SHARE * 0.85,
        "unsafe": UNSAFE_SHARE * 0.15,
        "pair": PAIR_SHARE,
        "single": 1 - UNSAFE_SHARE - PAIR_SHARE - PLACE_SHARE,
    }
    kind = kind or str(rng.choice(list(shares), p=list(shares.values())))
    place: str | None = None
    if kind == "place":
        place = str(rng.choice(list(PLACES)))
        armed = rng.random() < PLACES[place]
        main = random_safe(rng)
        placed = _addition(rng, main, random_unsafe(rng, ["violence"])) if armed else _single(rng, main)
    elif kind == "single":
        placed = _single(rng, random_safe(rng))
    elif kind == "unsafe":
        placed = _single(rng, random_unsafe(rng))
    elif kind == "pair":
        left, right = rng.choice(len(SAFE), size=2, replace=False)
        placed = _pair(rng, int(left), int(right))
    else:
        main = random_safe(rng)
        placed = _addition(rng, main, random_unsafe(rng, _beside(main)))
    return Scene(background=random_background(rng), placed=placed, place=place)


def scene_of(rng: np.random.Generator, main: int, categories: Sequence[str] | None) -> Scene:
    """A scene of the safe thing ``main``, with something unsafe of ``categories`` added unless they are None or may not stand beside it."""
    allowed = [c for c in categories or () if c in _beside(main)]
    placed = _addition(rng, main, random_unsafe(rng, allowed)) if allowed else _single(rng, main)
    return Scene(background=random_background(rng), placed=placed)


def random_background(rng: np.random.Generator) -> str:
    """White more often than not, else one of the colours."""
    return "white" if rng.random() < WHITE_SHARE else str(rng.choice(list(BACKGROUNDS)[1:]))


def render(scene: Scene, drawings: Sequence[Image.Image]) -> np.ndarray:
    """The scene's pixels, (SIZE, SIZE, 3) uint8. ``drawings`` holds one RGBA picture a thing, in the order of THINGS."""
    picture = Image.new("RGB", (SIZE, SIZE), BACKGROUNDS[scene.background])
    for item in scene.placed:
        drawing = drawings[item.thing].resize((item.side, item.side), Image.Resampling.LANCZOS)
        corner = (round(item.x - item.side / 2), round(item.y - item.side / 2))
        picture.paste(drawing, corner, drawing)
    return np.asarray(picture)
