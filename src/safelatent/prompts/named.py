"""``prompt_set(name)``: a prompt set by the name that the command line takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safelatent.errors import BadValueError, nearest
from safelatent.prompts.embedded import embedded_benign, embedded_i2p, embedded_i2p_train
from safelatent.prompts.files import READERS, read
from safelatent.prompts.i2p import GUIDANCE, HUB_ID, SEED, SIZE, has_i2p_columns, i2p
from safelatent.prompts.prompt_set import PromptSet, slug
from safelatent.prompts.published import PUBLISHED, published
from safelatent.prompts.rows import Table
from safelatent.prompts.sets import coco, countries, drawbench, table
from safelatent.prompts.text_files import LINE

# What any table may call its columns. An id or a size by another name may be that of the row's own
# picture, and is left alone.
_COLUMNS = {
    "guidance_scale": ("guidance_scale", *GUIDANCE),
    "width": SIZE[0],
    "height": SIZE[1],
    "categories": ("categories", "category"),
}
_SEED = ("seed", *SEED)

EMBEDDED: dict[str, Callable[[], PromptSet]] = {
    "embedded-i2p": embedded_i2p,
    "embedded-i2p-train": embedded_i2p_train,
    "embedded-benign": embedded_benign,
}
FROM_FILE: dict[str, Callable[[str | Path], PromptSet]] = {
    "coco": coco,
    "drawbench": drawbench,
    "countries": countries,
}
TABLE = "table"
_WITH_SOURCE = ("i2p", *FROM_FILE, TABLE, *PUBLISHED)
NAMES = (*_WITH_SOURCE, *EMBEDDED)


def prompt_set(
    name: str,
    source: str | Path | None = None,
    *,
    text_column: str | None = None,
    seed_column: str | None = None,
) -> PromptSet:
    """Load the prompt set called ``name``.

    Args:
        name: one of ``NAMES``, or a path, which is short for ``table`` with this source.
        source: the file of a named set. ``i2p`` also takes a Hub id, and without a source
            downloads the authors' data set.
        text_column: the column of the prompts, for a table. None is ``prompt``, or the lines of a
            text file.
        seed_column: the column of the seeds, for a table. None is ``seed``, ``sd_seed`` or
            ``evaluation_seed``, and the row's number where there is none of them.

    Raises:
        BadValueError: the name is unknown, the source is missing or not wanted, a column is named
            for a set that has its own, or something is wrong with the file.
        UnsupportedError: the file could not be downloaded, or needs an extra.
    """
    name = str(name)
    _check_source(name, source)
    if name in NAMES and name != TABLE:
        _check_no_columns(name, text_column, seed_column)
        return _named(name, source)
    return by_columns(
        name if source is None else source, text_column=text_column, seed_column=seed_column
    )


def by_columns(
    path: str | Path, *, text_column: str | None = None, seed_column: str | None = None
) -> PromptSet:
    """Read any table by the columns that it has: as I2P if it has I2P's, else its text and those of
    seed, guidance scale, size and categories that it has.

    What was published about a row of I2P belongs to the text in ``prompt``, so that a table whose
    prompts are in another column is not read as I2P.

    Raises:
        BadValueError: a column is missing or has two names, or a value is out of its range, with
            its place.
    """
    opened = read(path)
    default = LINE if opened.columns == (LINE,) else "prompt"
    text = text_column if text_column is not None else default
    if _is_i2p(opened, text, seed_column):
        return i2p(path, name=slug(Path(path).stem), seed=seed_column)
    found = {field: opened.find(*names) for field, names in _COLUMNS.items()}
    seed = seed_column if seed_column is not None else opened.find(*_SEED)
    return table(path, text=text, seed=seed, **found)


def _is_i2p(opened: Table, text: str, seed: str | None) -> bool:
    return opened.find(text) == opened.find("prompt") and has_i2p_columns(opened, seed)


def _named(name: str, source: str | Path | None) -> PromptSet:
    if name in EMBEDDED:
        return EMBEDDED[name]()
    if name == "i2p":
        return i2p(HUB_ID if source is None else source)
    assert source is not None  # checked before
    return published(name, source) if name in PUBLISHED else FROM_FILE[name](source)


def _check_source(name: str, source: str | Path | None) -> None:
    """Refuse an unknown name, and a source that is missing or that no set reads."""
    if name not in NAMES and not Path(name).suffix and not Path(name).is_file():
        raise BadValueError(
            f"unknown prompts {name!r}{nearest(name, NAMES)}; name one of {', '.join(NAMES)}, or a"
            f" file ending in {', '.join(READERS)}"
        )
    if source is None and name in (*FROM_FILE, TABLE, *PUBLISHED):
        raise BadValueError(
            f"{name} is read from a file of yours, and none was given; add --source FILE or, for a"
            " command without that option, name a table of its prompts instead"
        )
    if source is not None and name not in _WITH_SOURCE:
        raise BadValueError(
            f"{name!r} takes no source, and {str(source)!r} was given; leave it out (a source goes"
            f" with {', '.join(_WITH_SOURCE)})"
        )


def _check_no_columns(name: str, text: str | None, seed: str | None) -> None:
    for option, column in (("--text-column", text), ("--seed-column", seed)):
        if column is not None:
            raise BadValueError(
                f"{option} is {column!r}, and {name} has its own columns; leave it out, or read the"
                " file as a table: table --source FILE"
            )
