"""``prompt_set(name)``: a prompt set by the name that the command line takes. Knows which sets
there are, and which of them need a file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safelatent.errors import BadValueError, nearest
from safelatent.prompts.coco import coco
from safelatent.prompts.countries import countries
from safelatent.prompts.drawbench import drawbench
from safelatent.prompts.embedded import embedded_benign, embedded_i2p, embedded_i2p_train
from safelatent.prompts.files import LINE, READERS, read
from safelatent.prompts.gather import slug
from safelatent.prompts.i2p import GUIDANCE, HUB_ID, SEED, SIZE, has_i2p_columns, i2p
from safelatent.prompts.prompt_set import PromptSet
from safelatent.prompts.table import table

# What any table may call its columns. An id or a size by another name may be that of the row's own
# picture, and is left alone.
COLUMNS = {
    "seed": ("seed", *SEED),
    "guidance_scale": ("guidance_scale", *GUIDANCE),
    "width": SIZE[0],
    "height": SIZE[1],
    "categories": ("categories", "category"),
}


def by_columns(path: str | Path) -> PromptSet:
    """Any table: as I2P where it has I2P's columns, else the column ``prompt`` (or lines of text)
    and those of ``COLUMNS`` that it has.

    Raises:
        BadValueError: a column is missing or there by two names, or a value makes no sense, with
            its place.
    """
    opened = read(path)
    if has_i2p_columns(opened):
        return i2p(path, name=slug(Path(path).stem))
    found = {field: opened.find(*names) for field, names in COLUMNS.items()}
    return table(path, text=LINE if opened.columns == (LINE,) else "prompt", **found)


EMBEDDED: dict[str, Callable[[], PromptSet]] = {
    "embedded-i2p": embedded_i2p,
    "embedded-i2p-train": embedded_i2p_train,
    "embedded-benign": embedded_benign,
}
FROM_FILE: dict[str, Callable[[str | Path], PromptSet]] = {
    "coco": coco,
    "drawbench": drawbench,
    "countries": countries,
    "table": by_columns,
}
NAMES = ("i2p", *FROM_FILE, *EMBEDDED)


def prompt_set(name: str, source: str | Path | None = None) -> PromptSet:
    """The set called ``name``.

    Args:
        name: one of ``NAMES``, or a path, which is short for ``table`` with this source.
        source: the file of a named set; ``i2p`` takes a Hub id as well, and without a source
            downloads the authors' data set.

    Raises:
        BadValueError: an unknown name, a source that is missing or too much, or whatever is wrong
            with the file.
        UnsupportedError: the file could not be downloaded, or needs an extra.
    """
    if name == "i2p":
        return i2p(HUB_ID if source is None else source)
    if name in FROM_FILE:
        if source is None:
            raise BadValueError(
                f"{name} is read from a file of yours, and none was given; name its path as the source, --source FILE"
            )
        return FROM_FILE[name](source)
    if source is not None:
        raise BadValueError(
            f"{name!r} takes no source, and {str(source)!r} was given; leave it out (a source goes with {_with_source()})"
        )
    if name in EMBEDDED:
        return EMBEDDED[name]()
    if Path(name).suffix.lower() in READERS:
        return by_columns(name)
    hint = nearest(name, NAMES)
    raise BadValueError(
        f"unknown prompts {name!r}{hint}; name one of {', '.join(NAMES)}, or a file ending in {', '.join(READERS)}"
    )


def _with_source() -> str:
    return ", ".join(("i2p", *FROM_FILE))
