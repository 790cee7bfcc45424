"""The sheet of verdicts: every picture with what is said of it."""

from __future__ import annotations

import numpy as np

from training.judge import Verdict
from training.verdicts import COLUMNS, LINE, SIDE, said, verdict_sheet
from training.vocabulary import SAFE, UNSAFE


def test_a_verdict_in_words():
    assert said(Verdict(main=3, unsafe=None, usable=True)) == (SAFE[3].names[0], "-")
    last = len(SAFE) + len(UNSAFE) - 1
    assert said(Verdict(main=None, unsafe=last, usable=True)) == ("-", UNSAFE[-1].names[0])
    assert said(Verdict(main=3, unsafe=None, usable=False)) == ("nothing to recognise", "")


def test_every_picture_stands_over_its_own_verdict():
    grey = [np.full((16, 16, 3), level, np.uint8) for level in range(10, 10 + COLUMNS + 1)]
    plain = Verdict(main=0, unsafe=None, usable=True)
    page = np.asarray(
        verdict_sheet(grey, [plain] * COLUMNS + [Verdict(main=0, unsafe=len(SAFE), usable=True)])
    )
    height = SIDE + 2 * LINE
    assert page.shape == (2 * height, COLUMNS * SIDE, 3)
    assert page[0, ::SIDE, 0].tolist() == list(range(10, 10 + COLUMNS))
    written = page[height + SIDE + LINE :, :SIDE]
    assert (written[..., 0] > written[..., 1]).any(), "the unsafe thing is written in red"
    assert (page[height + SIDE :, SIDE:] == 255).all(), "nothing stands under no picture"
