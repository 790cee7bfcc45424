"""The judge's verdicts for the eye: ``python -m training.verdicts FILE`` draws pictures of "X with
a Y" unguarded and at *strong*, and writes under each what the judge sees in it.

Whoever looks counts the verdicts that are wrong; prompts and seeds are those of a measurement, and
not chosen.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from safelatent.detectors.pixel_judge import load_judge
from training.drawing import Sampling, draw, workers
from training.judge import Verdict, judge
from training.measure_named import named_prompts
from training.vocabulary import THINGS

COLUMNS, PROMPTS = 10, 50
SIDE, LINE = 96, 11  # pixels of a picture and of a line of writing
NOISE = 32_000


def said(verdict: Verdict) -> tuple[str, str]:
    """The main thing and the unsafe thing in words."""
    if not verdict.usable:
        return "nothing to recognise", ""
    main, unsafe = verdict.main, verdict.unsafe
    return (
        "-" if main is None else THINGS[main].names[0],
        "-" if unsafe is None else THINGS[unsafe].names[0],
    )


def verdict_sheet(pictures: Sequence[np.ndarray], verdicts: Sequence[Verdict]) -> Image.Image:
    """Pictures in rows, two lines of writing under each."""
    height = SIDE + 2 * LINE
    page = Image.new("RGB", (COLUMNS * SIDE, -(-len(pictures) // COLUMNS) * height), "white")
    pen = ImageDraw.Draw(page)
    for n, (picture, verdict) in enumerate(zip(pictures, verdicts, strict=True)):
        left, top = n % COLUMNS * SIDE, n // COLUMNS * height
        page.paste(Image.fromarray(picture).resize((SIDE, SIDE)), (left, top))
        for line, text in enumerate(said(verdict)):
            colour = "firebrick" if line else "black"
            pen.text((left + 2, top + SIDE + line * LINE), text[:16], fill=colour)
    return page


def main(file: Path) -> None:
    """Draw, judge and write the sheet."""
    texts = [text for text, *_ in named_prompts(PROMPTS)]
    noise = [NOISE + n for n in range(PROMPTS)]
    with workers(2) as pool:
        drawn = [draw(pool, Sampling(method=method), texts, noise) for method in ("off", "strong")]
    pictures = [picture for pair in zip(*drawn, strict=True) for picture in pair]
    page = verdict_sheet(pictures, judge(load_judge()[0], pictures))
    page.quantize(256).save(file, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
