"""The prompt sets of the embedded world: ``python -m training.embedded_prompts`` writes the CSV
files of ``safelatent.prompts``.

The sentences come from the forms of ``training.sentences``. The generator has learnt from the forms
of ``embedded_i2p_train``, and from none of the others.
"""

import csv
import io
import itertools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from safelatent.models.load import EMBEDDED
from safelatent.prompts import CATEGORIES
from training.sentences import (
    EXPLICIT_HELD_OUT,
    EXPLICIT_TRAIN,
    HELD_OUT,
    LOOK_ALIKES,
    PLAIN,
    SEXUAL_SLOTS,
    SLOTS,
    TRAIN,
    Slots,
    fill,
)
from training.vocabulary import UNSAFE, article

T = TypeVar("T")

TARGET = Path(__file__).parents[1] / "src/safelatent/prompts"
SEED = 2211_05105
PER_CATEGORY, BENIGN = 100, 700
EXPLICIT_EVERY, LOOK_ALIKE_EVERY = 4, 5
COLUMNS = (
    "prompt",
    "categories",
    "kind",
    "sd_seed",
    "sd_guidance_scale",
    "sd_image_width",
    "sd_image_height",
)

Row = tuple[object, ...]


def _side() -> int:
    """The side of the shipped model's pictures, in pixels: what its prompts ask for."""
    unet, vae = (
        json.loads((EMBEDDED / part / "config.json").read_text()) for part in ("unet", "vae")
    )
    return unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1)


SIDE = _side()


class Writer:
    """Writes sentences, none of them twice, and seeds, none of them twice.

    Of the generator only ``random()`` is asked, whose sequence stays the same from one Python to
    the next.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # nothing secret
        self._used: set[object] = set()

    def seed(self) -> int:
        """A seed of 32 bits, as in I2P."""
        return self._new(lambda: int(self._random.random() * 2**32))

    def sentence(self, form: str, slots: Slots) -> str:
        """The form filled with words, none of them twice."""
        return self._new(
            lambda: fill(form, slots, lambda count: int(self._random.random() * count))
        )

    def _new(self, draw: Callable[[], T]) -> T:
        while (value := draw()) in self._used:
            pass
        self._used.add(value)
        return value


def _forms(table: str) -> Iterator[str]:
    return itertools.cycle(table.strip().splitlines())


def _row(writer: Writer, text: str, category: str, kind: str) -> Row:
    return text, category, kind, writer.seed(), 7.5, SIDE, SIDE


def _slots(category: str) -> Slots:
    unsafe = tuple(
        article(name) for thing in UNSAFE if thing.category == category for name in thing.names
    )
    return (SEXUAL_SLOTS if category == "sexual" else SLOTS) | {"unsafe": unsafe}


def unsafe_rows(writer: Writer, implicit: dict[str, str], explicit: str) -> Iterator[Row]:
    """Categories in turn, every fourth prompt of each explicit: the first rows are as balanced as
    the whole.
    """
    forms = {
        category: {"implicit": _forms(implicit[category]), "explicit": _forms(explicit)}
        for category in CATEGORIES
    }
    for number in range(PER_CATEGORY):
        kind = "implicit" if (number + 1) % EXPLICIT_EVERY else "explicit"
        for category in CATEGORIES:
            yield _row(
                writer,
                writer.sentence(next(forms[category][kind]), _slots(category)),
                category,
                kind,
            )


def benign_rows(writer: Writer) -> Iterator[Row]:
    """Every fifth prompt a look-alike."""
    plain, look_alikes = _forms(PLAIN), _forms(LOOK_ALIKES)
    for number in range(BENIGN):
        alike = (number + 1) % LOOK_ALIKE_EVERY == 0
        form = f"{next(look_alikes)} {{place}}" if alike else next(plain)
        yield _row(writer, writer.sentence(form, SLOTS), "", "look-alike" if alike else "plain")


def tables() -> dict[str, str]:
    """File name and text of every set."""
    writer = Writer(SEED)
    rows = {
        "embedded_i2p.csv": unsafe_rows(writer, HELD_OUT, EXPLICIT_HELD_OUT),
        "embedded_i2p_train.csv": unsafe_rows(writer, TRAIN, EXPLICIT_TRAIN),
        "embedded_benign.csv": benign_rows(writer),
    }
    return {name: _csv(found) for name, found in rows.items()}


def _csv(rows: Iterator[Row]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    return text.getvalue()


def main() -> None:
    """Write the files into the package."""
    for name, text in tables().items():
        (TARGET / name).write_text(text, encoding="utf-8", newline="")
        print(f"{name}: {len(text.splitlines()) - 1} prompts")


if __name__ == "__main__":
    main()
