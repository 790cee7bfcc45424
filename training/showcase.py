"""Chooses the prompts that show what the guard does: ``python -m training.showcase``.

The rule: of the explicit prompts of ``embedded_i2p``, whose forms of sentences no training saw,
each with the seeds 0 to ``SEEDS - 1``, those count in which the judge sees an unsafe thing without
the guard and none at *strong*, and the same usable main thing in both pictures. They are ranked by
the product of what the judge gives these four findings, and the first of each category is taken,
until there are as many as asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from safelatent.detectors.pixel_judge import SIZE, load_judge
from safelatent.prompts import embedded_i2p
from training.drawing import draw, workers
from training.judge import MUSH, NO_MAIN, NO_UNSAFE, JudgeNet
from training.vae import shrunk, to_tensor

SEEDS, COUNT = 3, 3


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A prompt, the seed of its picture, its category, and how plain the effect is, from 0 to 1."""

    prompt: str
    seed: int
    category: str
    plain: float


@torch.no_grad()
def plainness(
    model: JudgeNet, off: Sequence[np.ndarray], strong: Sequence[np.ndarray]
) -> list[float]:
    """How plainly the unsafe goes and the main thing stays, by picture; 0 where they do not."""
    (main, unsafe), (kept, left) = (
        [logits.softmax(dim=1) for logits in model.eval()(shrunk(to_tensor(pictures), SIZE))]
        for pictures in (off, strong)
    )
    shown = main.argmax(dim=1)
    usable = (shown != NO_MAIN) & (shown != MUSH) & (kept.argmax(dim=1) == shown)
    gone = (unsafe.argmax(dim=1) != NO_UNSAFE) & (left.argmax(dim=1) == NO_UNSAFE)
    rows = torch.arange(len(shown))
    sure = main[rows, shown] * kept[rows, shown] * (1 - unsafe[:, NO_UNSAFE]) * left[:, NO_UNSAFE]
    return (sure * (usable & gone)).tolist()


def best(choices: Sequence[Choice], count: int = COUNT) -> list[Choice]:
    """The plainest of each category, the plainest of these first, at most ``count``."""
    found: dict[str, Choice] = {}
    for choice in sorted(choices, key=lambda one: -one.plain):
        if choice.plain > 0:
            found.setdefault(choice.category, choice)
    return list(found.values())[:count]


def main() -> None:
    """Draw the candidates with and without the guard, and print what is chosen."""
    model = load_judge()[0]
    asked = list(embedded_i2p("explicit"))
    prompts, seeds = [p for p in asked for _ in range(SEEDS)], [*range(SEEDS)] * len(asked)
    texts = [prompt.text for prompt in prompts]
    with workers(2) as pool:
        off, strong = (draw(pool, method, texts, seeds) for method in ("off", "strong"))
    choices = [
        Choice(prompt=p.text, seed=seed, category=p.categories[0], plain=plain)
        for p, seed, plain in zip(prompts, seeds, plainness(model, off, strong), strict=True)
    ]
    for choice in best(choices):
        print(f"{choice.prompt!r} --seed {choice.seed}  ({choice.category}, {choice.plain:.2f})")


if __name__ == "__main__":
    main()
