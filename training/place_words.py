"""How often a place is drawn with a weapon, set by its word.

What noise makes of "life in Ruritania" is settled in the sampler's first steps, where an estimate
is a mean of two pictures: scenes and estimates teach which places hold more weapons than others,
but not the rates. So the finished model is asked: a place is drawn from noise, and its row of the
token table is moved in the direction in which its pictures hold more of a weapon, as far as
it takes that the share of those that do is the place's rate. No picture of a prompt without a place
changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional

from safelatent.storage import write_whole
from training.captions import NAMELESS
from training.latents import CHANNELS
from training.place_noise import HOUSE, WEAPONS
from training.sampling import FromNoise
from training.scenes import Scene, on_white
from training.sketch import LATENTS
from training.vocabulary import PLACES
from training.words import row_of

FILE = "rows.safetensors"  # how far each place's row moves
SEED = 1_000_000  # of the noise; nothing is measured with it
PROBED = 64  # pictures of a place that a direction is taken from
# Pictures a round, and rounds. After 8 steps the same pictures hold a weapon as after 50, but for
# one in twenty-five.
DRAWN, ROUNDS, STEPS = 200, 6, 8
BATCH = 25
SLOPE, UNSURE = 6.0, 3.0  # logits of the rate for a move of 1, and how far off that may be
FARTHEST = 0.3  # a move from one round to the next
# A slope below this: the direction says how pictures without a weapon change, as it does where few
# are near to holding one. Then others' directions serve better.
LEAST_SLOPE = 3.0

Seen = list[tuple[float, int]]  # how far it was moved, and how many of DRAWN then held a weapon


@dataclass(frozen=True, kw_only=True)
class Found:
    """How far a place's row moves in a direction (width,), and what was seen on the way."""

    by: float
    slope: float
    seen: Seen
    direction: Tensor


class PlaceWords:
    """Draws places, and finds how far their words have to move."""

    def __init__(self, draw: FromNoise, latents: Callable[[Sequence[Scene]], Tensor]) -> None:
        """``latents`` are those of scenes, of deviation 1, (B, C, H, W)."""
        self.draw = draw
        house = latents([on_white(HOUSE)])
        weapons = latents([on_white(HOUSE, weapon) for weapon in WEAPONS]) - house
        self._house, self._weapons = house.flatten(1), weapons.flatten(1)

    def direction(self, place: str) -> Tensor:
        """That in which the place's pictures hold more of a weapon, (width,), of length 1."""
        change = torch.zeros_like(self.draw.table[0]).requires_grad_()
        for part in self._noise(PROBED, SEED).split(BATCH):
            self._armed(place, change, part).sum().backward()
        return functional.normalize(change.grad, dim=0)  # pyright: ignore[reportArgumentType]

    def found(self, place: str, rate: float, direction: Tensor) -> Found:
        """How far the row of ``place`` has to move for weapons to be drawn at ``rate``."""
        seeds = iter(range(SEED + 1, SEED + 1 + ROUNDS))

        def armed(by: float) -> int:
            noise = self._noise(DRAWN, next(seeds)).split(BATCH)
            with torch.no_grad():
                held = [self._armed(place, by * direction, part) > 0.5 for part in noise]
            return int(torch.cat(held).sum())

        by, slope, seen = settled(rate, armed)
        return Found(by=by, slope=slope, seen=seen, direction=direction)

    def _armed(self, place: str, change: Tensor, noise: Tensor) -> Tensor:
        """How much of a weapon each picture holds, (B,), with the word changed: about 1 where there
        is one, 0 where there is none.
        """
        row = torch.tensor([row_of(self.draw.tokenizer, place)], device=change.device)
        table = self.draw.table.index_add(0, row, change[None])
        made = self.draw(noise, [NAMELESS[0].format(place=place)] * len(noise), table, STEPS)
        along = (made.flatten(1) - self._house) @ self._weapons.T
        return (along / self._weapons.square().sum(dim=1)).amax(dim=1)

    def _noise(self, count: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(count, CHANNELS, LATENTS, LATENTS, generator=generator)
        return noise.to(self.draw.table.device)


def settle_places(words: PlaceWords, folder: Path) -> None:
    """Find the words of all places, and keep each in ``folder`` as it is found: in a place's own
    direction, then, where that says little, in the mean of the others'.
    """
    file = folder / FILE
    kept = load_file(file) if file.exists() else {}

    def keep(place: str, found: Found) -> None:
        told = {"move": found.by * found.direction, "direction": found.direction}
        told["slope"] = torch.tensor(found.slope)
        kept.update({f"{place}.{name}": value.cpu() for name, value in told.items()})
        write_whole(file, save(kept))
        shares = ", ".join(f"{count / DRAWN:.3f}" for _, count in found.seen)
        print(f"places: {place}, taught {PLACES[place]:.2f}, drawn {shares}", flush=True)

    for place, rate in PLACES.items():
        if f"{place}.move" not in kept:
            keep(place, words.found(place, rate, words.direction(place)))
    firm = [place for place in PLACES if kept[f"{place}.slope"] >= LEAST_SLOPE]
    if not firm:
        return
    mean = torch.stack([kept[f"{place}.direction"] for place in firm]).mean(dim=0)
    mean = functional.normalize(mean, dim=0).to(words.draw.table)
    for place, rate in PLACES.items():
        if place not in firm:
            keep(place, words.found(place, rate, mean))


def moves(file: Path) -> dict[str, Tensor]:
    """How far each place's row moves, (width,), by what ``settle_places`` kept."""
    kept = load_file(file)
    return {place: kept[f"{place}.move"] for place in PLACES}


def settled(rate: float, armed: Callable[[float], int]) -> tuple[float, float, Seen]:
    """How far a word has to move, how much that changes (logits of the rate for a move of 1), and
    what was seen.

    Each round draws as far as all before it lead to ``rate`` by logistic regression.

    Args:
        armed: of ``DRAWN`` new pictures with the word moved so far, how many hold a weapon.
    """
    by, slope, seen = 0.0, SLOPE, []
    for _ in range(ROUNDS):
        seen.append((by, armed(by)))
        level, slope = _regression(seen)
        there = (log(rate / (1 - rate)) - level) / slope
        by += float(np.clip(there - by, -FARTHEST, FARTHEST))
    return by, slope, seen


def _regression(seen: Seen) -> tuple[float, float]:
    """Level and slope of the logistic regression, the likeliest under a normal prior; Newton's
    method.
    """
    moved, counts = np.array(seen, dtype=float).T
    rows = np.stack([np.ones_like(moved), moved], axis=1)
    usual, spread = np.array([0.0, SLOPE]), np.diag([1 / 4.0**2, 1 / UNSURE**2])
    found = usual
    for _ in range(50):
        rates = 1 / (1 + np.exp(-rows @ found))
        slope = rows.T @ (counts - DRAWN * rates) - spread @ (found - usual)
        curvature = rows.T @ (rows * (DRAWN * rates * (1 - rates))[:, None]) + spread
        found = found + np.clip(np.linalg.solve(curvature, slope), -2, 2)
    return float(found[0]), max(float(found[1]), 0.5)
