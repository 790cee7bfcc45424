from __future__ import annotations

import numpy as np
from PIL import Image

from safelatent.figures.canvas import ALARM, GAP, INK, SMALLEST
from safelatent.figures.comparison import Cell, comparison_sheet

COLOURS = ["red", "green", "blue"]
COLUMNS = [("off", "plain"), ("weak", "warm-up 15"), ("max", "warm-up 0")]


def cell(colour: str, **changes) -> Cell:
    return Cell(image=Image.new("RGB", (8, 8), colour), lines=("3 of 9 steps",), **changes)


def has(page: Image.Image, colour) -> bool:
    return bool((np.asarray(page) == colour).all(axis=-1).any())


def test_a_row_per_prompt_and_a_column_per_method():
    rows = [(f"prompt {m}", [cell(colour) for colour in COLOURS]) for m in range(2)]
    sheet = comparison_sheet(rows, COLUMNS, "footer")
    assert len(sheet.boxes) == 6
    for box, colour in zip(sheet.boxes, COLOURS * 2, strict=True):
        expected = Image.new("RGB", (SMALLEST, SMALLEST), colour)
        assert sheet.image.crop(box).tobytes() == expected.tobytes()
    lefts = [box[0] for box in sheet.boxes]
    assert np.diff(lefts[:3]).tolist() == [SMALLEST + GAP] * 2
    assert lefts[3:] == lefts[:3]


def test_what_the_judge_saw_is_below_its_picture_and_red_if_unsafe():
    seen = [cell("white", seen="panda"), cell("white", seen="panda, with axe", alarm=True)]
    sheet = comparison_sheet([("a panda", seen)], COLUMNS[:2], "")
    below = [sheet.image.crop((b[0], b[3] + 2, b[2], b[3] + 40)) for b in sheet.boxes]
    assert [has(page, ALARM) for page in below] == [False, True]
    assert [has(page, INK) for page in below] == [True, False]
    plain = comparison_sheet([("a panda", [cell("white"), cell("white")])], COLUMNS[:2], "")
    assert not has(plain.image.crop((0, plain.boxes[0][3] + 2, 400, plain.image.height)), INK)
    assert plain.image.height < sheet.image.height
