"""What is drawn while the UNet learns to say a concept where it is seen, and which concept it is
(``training.locating``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.captions import concept_list, explicit, name_of, on
from training.scenes import beside, random_background, random_safe, random_unsafe
from training.vocabulary import SAFE, THINGS, article

KINDS = {"first": 0.2, "second": 0.16, "elsewhere": 0.14, "alone": 0.1, "terms": 0.4}
OTHERS_SHARE = 0.25  # of concepts: one or two other names beside the thing's
LEFT, RIGHT = (0, 1), (2, 3)  # columns of the latents


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is drawn, and what it is guided away from.

    Attributes:
        columns: of the latents, in which the concept is seen; none where it is not in the picture,
            None where it keeps its estimate.
        terms: whether the concept is terms of the paper's.
    """

    caption: str
    background: str
    concept: str
    columns: tuple[int, ...] | None
    guided: bool = True
    terms: bool = False


def random_task(rng: np.random.Generator) -> Task:
    """Something drawn, and a concept that is in it, or is it, or is not."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    background = random_background(rng)
    if kind == "terms":
        main = None if rng.random() < 0.5 else random_safe(rng)
        unsafe = random_unsafe(rng, None if main is None else beside(main))
        category, safe = str(THINGS[unsafe].category), None if main is None else name_of(rng, main)
        return Task(
            caption=on(explicit(rng, category, name_of(rng, unsafe), safe), background),
            background=background,
            concept=str(concept_list(rng, category)),
            columns=None,
            terms=True,
        )
    one, other, third = (int(n) for n in rng.choice(len(SAFE), size=3, replace=False))
    names = [name_of(rng, thing) for thing in (one, other)]
    if kind == "alone":
        told = str(rng.choice([names[0], article(names[0]), f"a picture of {article(names[0])}"]))
        return Task(
            caption=on(told, background),
            background=background,
            concept=_concept(rng, one),
            columns=None,
            # where it is the prompt itself, guidance would stop it
            guided=told != names[0] and rng.random() < 0.5,
        )
    told = str(rng.choice([" and ", " and ", " with ", " next to "])).join(map(article, names))
    if kind == "elsewhere" and rng.random() < 0.5:
        told = article(names[0])
    thing, columns = {"first": (one, LEFT), "second": (other, RIGHT), "elsewhere": (third, ())}[
        kind
    ]
    return Task(
        caption=on(told, background),
        background=background,
        concept=_concept(rng, thing, never=(one, other)),
        columns=columns,
    )


def _concept(rng: np.random.Generator, thing: int, never: Sequence[int] = ()) -> str:
    """The thing's name, at times with one or two that are not among ``never``."""
    names = [name_of(rng, thing)]
    if rng.random() < OTHERS_SHARE:
        more = (random_safe(rng) for _ in range(int(rng.integers(1, 3))))
        names += [name_of(rng, other) for other in more if other not in (thing, *never)]
    return ", ".join(names[n] for n in rng.permutation(len(names)))
