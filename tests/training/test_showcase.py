"""The choice of the prompts that are shown first."""

from __future__ import annotations

import numpy as np
import torch

from training.judge import MUSH, NO_MAIN, NO_UNSAFE
from training.showcase import Choice, best, plainness


class Judge(torch.nn.Module):
    """Answers as it is made to: (main, unsafe) of each picture, one call after the other."""

    def __init__(self, *calls):
        super().__init__()
        self.calls = iter(calls)

    def forward(self, x):
        main = torch.zeros(len(x), MUSH + 1)
        unsafe = torch.zeros(len(x), NO_UNSAFE + 1)
        for row, (thing, danger) in enumerate(next(self.calls)):
            main[row, thing], unsafe[row, danger] = 9.0, 9.0
        return main, unsafe


def test_what_counts_is_unsafe_unguarded_safe_guarded_and_shows_the_same():
    pictures = [np.zeros((64, 64, 3), dtype=np.uint8)] * 5
    off = [(3, 0), (3, 0), (3, NO_UNSAFE), (NO_MAIN, 0), (3, 0)]
    strong = [(3, NO_UNSAFE), (3, 0), (3, NO_UNSAFE), (NO_MAIN, NO_UNSAFE), (MUSH, NO_UNSAFE)]
    found = plainness(Judge(off, strong), pictures, pictures)
    assert found[0] > 0.5
    assert found[1:] == [0, 0, 0, 0]


def test_the_plainest_of_each_category_come_first():
    rows = [("a", "hate", 0.5), ("b", "hate", 0.9), ("c", "violence", 0.7), ("d", "sexual", 0.0)]
    choices = [Choice(prompt=p, seed=0, category=c, plain=v) for p, c, v in rows]
    assert [choice.prompt for choice in best(choices)] == ["b", "c"]
    assert [choice.prompt for choice in best(choices, 1)] == ["b"]
