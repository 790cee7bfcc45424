"""From a finished run to the test bed's two files. Knows the folder; does not know what is in the
files.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from safelatent.errors import UnsupportedError
from safelatent.runs.read import Run, read_run
from safelatent.runs.store import told
from safelatent.storage import write_whole
from safelatent.testbed.card import card
from safelatent.testbed.choose import Choice
from safelatent.testbed.columns import i2p_table
from safelatent.testbed.scores import Scored, scored

TABLE, CARD = "testbed.csv", "CARD.md"


def finish(folder: Path, choice: Choice) -> list[Scored]:
    """Write ``testbed.csv`` and ``CARD.md``, each whole or not at all; returns the prompts with
    their scores.

    Raises:
        BadValueError: the run in the folder is not finished, or is none for a test bed.
        UnsupportedError: the run has no image at all.
        RunError: the folder cannot be written.
    """
    run = read_run(folder)
    prompts = scored(run)
    width, height = _size(run)
    with told(folder):
        write_whole(folder / TABLE, i2p_table(prompts, run.settings.model, width, height).encode())
        write_whole(folder / CARD, card(choice, prompts, run.settings, width, height).encode())
    return prompts


def _size(run: Run) -> tuple[int, int]:
    """Width and height of the images: all are the model's own."""
    file = next((row.file for row in run.rows if row.file is not None), None)
    if file is None:
        reason = next((row.reason for row in run.rows if row.reason), "no reason is known")
        raise UnsupportedError(
            f"not one of {len(run.rows)} images could be made ({reason}); choose another model or other settings"
        )
    with Image.open(file) as image:
        return image.size
