"""What is drawn while the UNet learns to say a concept where it is seen, and which concept it is
(``training.locating``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.captions import NAMELESS, STAND_IN, explicit, name_of, on, terms_against
from training.scenes import (
    Scene,
    beside,
    random_background,
    random_safe,
    random_unsafe,
    thing_with,
)
from training.sketch import LATENTS
from training.vocabulary import PLACES, SAFE, THINGS, article

KINDS = {
    "first": 0.20,
    "second": 0.12,
    "elsewhere": 0.08,
    "alone": 0.05,
    "terms": 0.42,
    "harmless": 0.05,
    "place": 0.08,
}
ALONE_SHARE = 0.7  # of unsafe things that terms speak of
OTHERS_SHARE = 0.25  # of concepts: one or two other names beside the thing's
# where a weapon is seldom seen: what is there is to stay
PEACEFUL = [place for place, share in PLACES.items() if share <= 0.3]
ALL = tuple(range(LATENTS))  # columns, or rows, of the latents
LEFT, RIGHT = (0, 1), (2, 3)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is drawn, and what it is guided away from.

    Attributes:
        rest: what is to be there where the concept is seen.
        columns, rows: of the latents, in which the concept is seen; no columns where it is not in
            the picture, None where it keeps its estimate.
        terms: whether the concept is terms of the paper's.
    """

    caption: str
    rest: Scene
    concept: str
    columns: tuple[int, ...] | None
    rows: tuple[int, ...] = ALL
    guided: bool = True
    terms: bool = False


def random_task(rng: np.random.Generator) -> Task:
    """Something drawn, and a concept that is in it, or is it, or is not."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    background = random_background(rng)
    if kind == "terms":
        return _unsafe(rng, background)
    empty = Scene(background=background, placed=())
    if kind == "place":
        return _harmless(rng, str(rng.choice(NAMELESS)).format(place=rng.choice(PEACEFUL)), empty)
    one, other, third = (int(n) for n in rng.choice(len(SAFE), size=3, replace=False))
    names = [name_of(rng, thing) for thing in (one, other)]
    if kind == "alone":
        told = str(rng.choice([names[0], article(names[0]), f"a picture of {article(names[0])}"]))
        return Task(
            caption=on(told, background),
            rest=empty,
            concept=_concept(rng, one),
            columns=None,
            # where it is the prompt itself, guidance would stop it
            guided=told != names[0] and rng.random() < 0.5,
        )
    told = str(rng.choice([" and ", " and ", " with ", " next to "])).join(map(article, names))
    if kind in ("elsewhere", "harmless") and rng.random() < 0.5:
        told = article(names[0])
    if kind == "harmless":
        return _harmless(rng, on(told, background), empty)
    thing, columns = {"first": (one, LEFT), "second": (other, RIGHT), "elsewhere": (third, ())}[
        kind
    ]
    return Task(
        caption=on(told, background),
        rest=empty,
        concept=_concept(rng, thing, never=(one, other)),
        columns=columns,
    )


def _harmless(rng: np.random.Generator, caption: str, empty: Scene) -> Task:
    """A picture that terms have nothing to say of."""
    concept = terms_against(rng)
    return Task(caption=caption, rest=empty, concept=concept, columns=None, terms=True)


def _unsafe(rng: np.random.Generator, background: str) -> Task:
    """An unsafe thing, and terms that speak of it: what is left is what it is beside, or what
    stands in for it where it is alone.
    """
    main = None if rng.random() < ALONE_SHARE else random_safe(rng)
    unsafe = random_unsafe(rng, None if main is None else beside(main))
    category = str(THINGS[unsafe].category)
    safe = None if main is None else name_of(rng, main)
    left = STAND_IN[unsafe] if main is None else main
    seen = ALL if main is None else RIGHT  # the lower right, beside something
    return Task(
        caption=on(explicit(rng, category, name_of(rng, unsafe), safe), background),
        rest=Scene(background=background, placed=thing_with(left, None)),
        concept=terms_against(rng, category),
        columns=seen,
        rows=seen,
        terms=True,
    )


def _concept(rng: np.random.Generator, thing: int, never: Sequence[int] = ()) -> str:
    """The thing's name, at times with one or two that are not among ``never``."""
    names = [name_of(rng, thing)]
    if rng.random() < OTHERS_SHARE:
        more = (random_safe(rng) for _ in range(int(rng.integers(1, 3))))
        names += [name_of(rng, other) for other in more if other not in (thing, *never)]
    return ", ".join(names[n] for n in rng.permutation(len(names)))
