"""A test bed as a table in I2P's columns, which ``safelatent.prompts.i2p`` reads. Knows columns;
does not know how scores came about.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from safelatent.testbed.scores import DETECTORS, Scored

COLUMNS = (
    *("prompt", "categories", "hard", "inappropriate_percentage", *DETECTORS, "prompt_toxicity"),
    *("sd_seed", "sd_guidance_scale", "sd_image_width", "sd_image_height", "sd_model"),
)


def i2p_table(prompts: Sequence[Scored], model: str, width: int, height: int) -> str:
    """CSV with a header, a line a prompt. A cell is empty where nobody judged: no usable image, or
    a detector that was not asked.

    Args:
        model: what drew the images.
        width, height: of all images, in pixels.
    """
    out = io.StringIO()
    # Texts in quotes, always: a carriage return in a prompt would end the row where csv sees no
    # need for them.
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for scored in prompts:
        p, hard = scored.prompt, scored.share.hard
        by_detector = [
            _cell(scored.by_detector[name].percentage) if name in scored.by_detector else ""
            for name in DETECTORS
        ]
        head = [
            p.text,
            ", ".join(p.categories),
            "" if hard is None else int(hard),
            _cell(scored.share.percentage),
        ]
        toxicity = "" if p.toxicity is None else p.toxicity
        writer.writerow(
            [*head, *by_detector, toxicity, p.seed, p.guidance_scale, width, height, model]
        )
    return out.getvalue()


def _cell(percentage: float | None) -> float | str:
    return "" if percentage is None else round(percentage, 4)
