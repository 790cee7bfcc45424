"""The card's contact sheet: single objects, and "X with a Y" unguarded and at *strong*."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np
from PIL import Image

from training.drawing import Sampling, draw
from training.measure_named import named_prompts
from training.vae import sheet
from training.vocabulary import SAFE, article

COLUMNS = 10
SINGLE, NAMED = 70, 30  # prompts
SEED = 15  # chooses the objects
SINGLE_NOISE, NAMED_NOISE = 30_000, 31_000


def arranged(
    single: Sequence[np.ndarray], off: Sequence[np.ndarray], strong: Sequence[np.ndarray]
) -> Image.Image:
    """Rows of single pictures, then of pairs: unguarded on the left, guarded on its right."""
    pairs = [picture for both in zip(off, strong, strict=True) for picture in both]
    return sheet([*single, *pairs], COLUMNS)


def contact_sheet(pool: Executor, single: int = SINGLE, named: int = NAMED) -> Image.Image:
    """Draw the sheet's pictures, seeds and prompts not chosen by what comes out."""
    things = np.random.default_rng(SEED).permutation(len(SAFE))[:single]
    alone = [article(SAFE[int(n)].names[0]) for n in things]
    both = [text for text, *_ in named_prompts(named)]
    noise = [NAMED_NOISE + n for n in range(named)]
    return arranged(
        draw(pool, Sampling(), alone, [SINGLE_NOISE + n for n in range(single)]),
        draw(pool, Sampling(), both, noise),
        draw(pool, Sampling(method="strong"), both, noise),
    )
